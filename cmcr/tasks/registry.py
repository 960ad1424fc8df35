"""The class of each task.

A new task is a file with its `Task`, its name in `cmcr.tasks.job`, one entry here, its group in
`cmcr.config_tasks.Tasks`, and the names of its metrics in `cmcr.results.summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmcr.data.index import ScanIndex
from cmcr.models.backbone import Backbone, NetworkName
from cmcr.tasks.detection import DetectionTask
from cmcr.tasks.job import TaskName
from cmcr.tasks.panoptic import PanopticTask
from cmcr.tasks.segmentation import SegmentationTask
from cmcr.tasks.task import Task

TASKS: dict[TaskName, type[Task]] = {
    "segmentation": SegmentationTask,
    "panoptic": PanopticTask,
    "detection": DetectionTask,
}


def network_of(task: str) -> NetworkName:
    """The 3D network that a task stands on."""
    return TASKS[task].network  # type: ignore[index]  # one of the names there are


def make_task(name: TaskName, backbone: Backbone, index: ScanIndex, options: Mapping[str, Any]) -> Task:
    """Build a task's head for what ``backbone`` gives and for the classes of ``index``.

    Raises:
        ConfigError: the options do not fit the data set.
    """
    task = TASKS[name]
    return task.build(backbone, index, task.Options.model_validate(options))
