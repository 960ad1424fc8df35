"""Predictions of a fine-tuned model in the submission format of the nuScenes lidarseg challenge.

    <output>/lidarseg/<split>/<token of the sweep>_lidarseg.bin    uint8 class 1..16 of each point, in the sweep's order
    <output>/<split>/submission.json                               what the method uses as input

as nuscenes-devkit 1.2.0 reads it (nuscenes/eval/lidarseg/validate_submission.py and evaluate.py).
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from cmcr.compute import prepare
from cmcr.data.index import ScanIndex
from cmcr.errors import ConfigError
from cmcr.files import atomic_path, write_json
from cmcr.progress import progress
from cmcr.tasks.model import evaluation_loader, load_model
from cmcr.tasks.segmentation import SegmentationTask

logger = logging.getLogger(__name__)

#: What a prediction takes as input: the sweep alone, whatever the backbone was pre-trained with.
META = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}


@torch.no_grad()
def write_lidarseg_submission(model_path: Path, index: ScanIndex, output: Path) -> None:
    """Predict every scan of ``index`` and write the files below ``output``, each atomically.

    Args:
        model_path: a segmentation model that `cmcr.tasks.finetune.finetune` wrote.
        index: a split of nuScenes, with or without labels; its name becomes that of the folders.
        output: the submission's folder.

    Raises:
        ConfigError: the data set is no nuScenes, or the model is no segmentation model.
        WeightsError: the model file is missing, damaged, or for other classes.
        DataError: a sweep is missing or damaged.
    """
    if index.reader != "nuscenes":
        raise ConfigError(
            f"{index.dataset}: the lidarseg challenge is one of nuScenes\n  expected: an index of nuScenes\n"
            f"  found:    one whose files the reader {index.reader!r} reads"
        )
    model, job = load_model(model_path, index)
    task = model.task
    if not isinstance(task, SegmentationTask):
        raise ConfigError(f"{model_path}\n  expected: a model for segmentation\n  found:    one for {job.task}")
    prepare(job.compute, job.seed)
    device = job.compute.device
    model.to(device)
    loader = evaluation_loader(job, index, with_labels=False)
    for batch in progress(loader, len(loader), "predicting", logger):
        batch = batch.to(device)
        classes = task.predict(model(batch), batch).cpu().numpy().astype(np.uint8)
        with atomic_path(output / "lidarseg" / index.split / f"{batch.tokens[0]}_lidarseg.bin") as temporary:
            classes.tofile(temporary)
    # Last, so that a folder with this file in it is complete.
    write_json(output / index.split / "submission.json", {"meta": META})
    logger.info("wrote the predictions of %d scans of %s below %s", len(index), index.split, output)
