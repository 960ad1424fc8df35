"""A picture of what a fine-tuned detector finds in a scan, with the labelled boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from matplotlib.figure import Figure

from cmcr.data.box_classes import BOX_CLASSES
from cmcr.data.detection_batches import DetectionDataset
from cmcr.data.index import ScanIndex
from cmcr.data.range_grid import RangeGrid
from cmcr.errors import ConfigError, DataError
from cmcr.pictures_boxes import draw_boxes
from cmcr.tasks.detection import DetectionTask
from cmcr.tasks.model import load_model

#: Boxes with less are not shown (chosen here): a detector has many that nobody would believe.
MIN_SCORE: Final = 0.3


def draw_detection(
    model_path: Path, index: ScanIndex, position: int, title: str, *, camera: int = 0, min_score: float = MIN_SCORE
) -> Figure:
    """Draw one labelled scan.

    Args:
        model_path: a model for detection, as fine-tuning wrote it.
        index: a split with boxes.
        position: of the scan in it.
        title: what stands above.
        camera: number of the camera to draw into.
        min_score: the least score of a box that is shown.

    Raises:
        ConfigError: the model is for another task.
        DataError: there is no such scan or camera, the scan has no boxes, or one of its files is missing or damaged.
        WeightsError: the model is missing, damaged, or for other classes.
    """
    if not 0 <= position < len(index):
        raise DataError(f"{index.dataset}, split {index.split}: no scan {position}; there are {len(index)}, from 0")
    model, job = load_model(model_path, index)
    if not isinstance(model.task, DetectionTask) or not isinstance(job.voxels, RangeGrid):
        raise ConfigError(f"{model_path}\n  expected: a model for detection\n  found:    one for {job.task}")
    DetectionTask.check(index, [position])
    batch = model.task.collate([DetectionDataset(index, [position], job.voxels, with_labels=False)[0]])
    with torch.no_grad():
        (found,) = model.task.predict(model(batch), batch)
    shown = found.scores_N >= min_score
    names = ("other", *BOX_CLASSES[index.reader])
    return draw_boxes(index.read(position), names, title, found.as_boxes().select(shown.numpy()), camera)
