"""Detectors trained for seconds on the toy city, for tests of what is made with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from invented import TINY_VOXELNET, finetune_job

from cmcr.data.augment import PointAugmentation
from cmcr.data.index import ScanIndex
from cmcr.data.range_grid import RangeGrid
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.recipe import Recipe
from cmcr.results.scores import Scores
from cmcr.tasks.finetune import finetune
from cmcr.tasks.job import FinetuneJob

#: Of pre-training, and of detection.
PRETRAIN_GRID = RangeGrid(bounds_m=(-16, -16, -3, 16, 16, 1), cell_m=(0.8, 0.8, 0.16))
GRID = RangeGrid(bounds_m=(0, -16, -3, 32, 16, 1), cell_m=(0.4, 0.4, 0.16))
#: Of the toy city's things, which stand on the ground.
ANCHORS: dict[str, Any] = {
    "kind": "second",
    "anchors": [
        {"size_m": (4.7, 1.9, 1.6), "bottom_m": -1.73, "matched": 0.6, "unmatched": 0.45},
        {"size_m": (0.8, 0.8, 1.8), "bottom_m": -1.73, "matched": 0.5, "unmatched": 0.35},
        {"size_m": (1.8, 0.8, 1.9), "bottom_m": -1.73, "matched": 0.5, "unmatched": 0.35},
    ],
    "candidates": 200,
}
CENTRES: dict[str, Any] = {"kind": "centre", "groups": [[1], [2, 3]], "channels": 8}
BEV = {"layers": (1,), "strides": (1,), "channels": (16,), "up_channels": (16,), "batch_norm_momentum": 0.1}


def detect_job(**changes: Any) -> FinetuneJob:
    """Describe a fine-tuning of seconds."""
    fields: dict[str, Any] = {
        "task": "detection",
        "options": {"head": ANCHORS, "bev": BEV, "sampling": {"wanted": {"Car": 2, "Pedestrian": 1}}},
        "dataset": "toy_kitti",
        "backbone": TINY_VOXELNET,
        "voxels": GRID,
        "recipe": Recipe(epochs=3, batch_size=2, lr=1e-2),
        "augmentation": PointAugmentation(rotation_deg=10, flip_x=0, flip_y=0.5),
    }
    return finetune_job(**{**fields, **changes})


def tune_detector(
    train: ScanIndex,
    labelled: Sequence[int],
    validation: ScanIndex,
    folder: Path,
    head: dict[str, Any],
    **changes: Any,
) -> tuple[Path, Scores]:
    """Train a detector for a few steps; return the file of the model, and its scores."""
    torch.manual_seed(0)
    record = BackboneRecord(
        method="scratch",
        dataset="none",
        seed=0,
        backbone=TINY_VOXELNET,
        voxels=PRETRAIN_GRID,
        config_hash="c0ffee",
        data_checksum="",
    )
    save_backbone(folder / "backbone.safetensors", make_backbone(TINY_VOXELNET, PRETRAIN_GRID), record)
    job = detect_job(**changes)
    scores = finetune(
        job.model_copy(update={"options": {**job.options, "head": head}}),
        folder / "backbone.safetensors",
        train,
        labelled,
        validation,
        folder / "logs",
        folder / "model.safetensors",
        folder / "scores.json",
        folder / "frames.safetensors",
    )
    return folder / "model.safetensors", scores
