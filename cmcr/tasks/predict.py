"""Predictions of a fine-tuned model in the submission formats of the nuScenes challenges.

    <output>/lidarseg/<split>/<token of the sweep>_lidarseg.bin    uint8 class 1..16 of each point, in the sweep's order
    <output>/panoptic/<split>/<token of the sweep>_panoptic.npz    uint16 1000 * class + instance, as the array ``data``
    <output>/<split>/submission.json                               what the method uses as input

as nuscenes-devkit 1.2.0 reads it (nuscenes/eval/lidarseg/validate_submission.py, nuscenes/eval/panoptic/evaluate.py).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmcr.compute import prepare
from cmcr.data.index import ScanIndex
from cmcr.errors import ConfigError
from cmcr.files import atomic_path, write_json
from cmcr.progress import progress
from cmcr.tasks.model import evaluation_loader, load_model
from cmcr.tasks.panoptic import PanopticTask
from cmcr.tasks.panoptic_files import nuscenes_labels
from cmcr.tasks.segmentation import SegmentationTask
from cmcr.tasks.task import Task

logger = logging.getLogger(__name__)

#: What a prediction takes as input: the sweep alone, whatever the backbone was pre-trained with.
META = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}


@torch.no_grad()
def write_submission(model_path: Path, index: ScanIndex, output: Path) -> None:
    """Predict every scan of ``index`` and write the files of the model's task below ``output``, each atomically.

    Args:
        model_path: a model that `cmcr.tasks.finetune.finetune` wrote.
        index: a split of nuScenes, with or without labels; its name becomes that of the folders.
        output: the submission's folder.

    Raises:
        ConfigError: the data set is no nuScenes, or the model's task has no submission format here.
        WeightsError: the model file is missing, damaged, or for other classes.
        DataError: a sweep is missing or damaged, or a scan has more instances than the format can number.
    """
    if index.reader != "nuscenes":
        raise ConfigError(
            f"{index.dataset}: submissions are written for the challenges of nuScenes\n"
            f"  expected: an index of nuScenes\n  found:    one whose files the reader {index.reader!r} reads"
        )
    model, job = load_model(model_path, index)
    if not isinstance(model.task, SegmentationTask | PanopticTask):
        raise ConfigError(f"{model_path}\n  expected: segmentation or panoptic\n  found:    a model for {job.task}")
    prepare(job.compute, job.seed)
    device = job.compute.device
    model.to(device)
    loader = evaluation_loader(job, index, with_labels=False)
    for batch in progress(loader, len(loader), "predicting", logger):
        batch = batch.to(device)
        _write_scan(output, index.split, batch.tokens[0], model.task, model.task.predict(model(batch), batch))
    # Last, so that a folder with this file in it is complete.
    which = {"task": "segmentation"} if isinstance(model.task, PanopticTask) else {}
    write_json(output / index.split / "submission.json", {"meta": META | which})
    logger.info("wrote the predictions of %d scans of %s below %s", len(index), index.split, output)


def _write_scan(output: Path, split: str, token: str, task: Task, prediction: Any) -> None:
    if isinstance(task, PanopticTask):
        labels = nuscenes_labels(token, prediction.class_P, prediction.instance_P)
        with atomic_path(output / "panoptic" / split / f"{token}_panoptic.npz") as temporary:
            np.savez_compressed(temporary, data=labels)
    else:
        with atomic_path(output / "lidarseg" / split / f"{token}_lidarseg.bin") as temporary:
            prediction.cpu().numpy().astype(np.uint8).tofile(temporary)
