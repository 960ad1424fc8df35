"""The class of each task.

A new task is a file with its `Task`, its name in `cmcr.tasks.job`, one entry here, its group in `cmcr.config.Tasks`,
and the names of its metrics in `cmcr.results.summary`.
"""

from __future__ import annotations

from collections.abc import Callable

from cmcr.data.index import ScanIndex
from cmcr.tasks.job import TaskName
from cmcr.tasks.segmentation import SegmentationTask
from cmcr.tasks.task import Task

_BUILDERS: dict[TaskName, Callable[[int, ScanIndex], Task]] = {
    "segmentation": lambda channels, index: SegmentationTask(channels, index.class_names),
}


def make_task(name: TaskName, channels: int, index: ScanIndex) -> Task:
    """Build a task's head on ``channels`` backbone features, for the classes of ``index``."""
    return _BUILDERS[name](channels, index)
