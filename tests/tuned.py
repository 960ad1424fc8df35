"""Networks fine-tuned for seconds on the toy city, for tests of what is made with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from invented import TINY, finetune_job

from cmcr.data.index import ScanIndex
from cmcr.data.voxels import VoxelGrid
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.recipe import Recipe
from cmcr.results.scores import Scores
from cmcr.tasks.finetune import finetune

GRID = VoxelGrid(kind="cartesian", size_m=0.5)

#: The model's file, and its scores.
Tuned = tuple[Path, Scores]


def tune(train: ScanIndex, validation: ScanIndex, folder: Path, **changes: Any) -> Tuned:
    """Train a network for a few steps on all of ``train``; ``changes`` are fields of its job."""
    torch.manual_seed(0)
    record = BackboneRecord(
        method="scratch", dataset="none", seed=0, backbone=TINY, voxels=GRID, config_hash="c0ffee", data_checksum=""
    )
    save_backbone(folder / "backbone.safetensors", make_backbone(TINY), record)
    scores = finetune(
        finetune_job(dataset="toy", voxels=GRID, recipe=Recipe(epochs=20, batch_size=2, lr=1e-2), **changes),
        folder / "backbone.safetensors",
        train,
        range(len(train)),
        validation,
        folder / "logs",
        folder / "model.safetensors",
        folder / "scores.json",
        folder / "frames.safetensors",
    )
    return folder / "model.safetensors", scores
