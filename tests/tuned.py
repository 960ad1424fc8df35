"""Networks fine-tuned for seconds on the toy city, for tests of what is made with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from invented import TINY, VOXELS, finetune_job, invented_index

from cmcr.data.index import ScanIndex
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.recipe import Recipe
from cmcr.results.scores import Scores
from cmcr.tasks.finetune import finetune
from cmcr.tasks.job import FinetuneJob

#: The model's file, and its scores.
Tuned = tuple[Path, Scores]


def save_scratch(path: Path) -> Path:
    """Write the weights of a tiny backbone that nothing has trained."""
    torch.manual_seed(0)
    record = BackboneRecord(
        method="scratch", dataset="none", seed=0, backbone=TINY, voxels=VOXELS, config_hash="c0ffee", data_checksum=""
    )
    save_backbone(path, make_backbone(TINY), record)
    return path


def tune_invented(job: FinetuneJob, weights: Path, folder: Path, **changes: Any) -> Scores:
    """Train on invented scans; ``changes`` are arguments of `finetune`."""
    arguments: dict[str, Any] = {
        "train_index": invented_index(4),
        "labelled": [0, 2, 3],
        "validation_index": invented_index(3, "val", first=100),
    }
    return finetune(
        job,
        weights,
        **{**arguments, **changes},
        folder=folder / "logs",
        model_output=folder / "model.safetensors",
        scores_output=folder / "scores.json",
        frames_output=folder / "frames.safetensors",
    )


def tune(train: ScanIndex, validation: ScanIndex, folder: Path, **changes: Any) -> Tuned:
    """Train a network for a few steps on all of ``train``; ``changes`` are fields of its job."""
    weights = save_scratch(folder / "backbone.safetensors")
    scores = finetune(
        finetune_job(dataset="toy", recipe=Recipe(epochs=20, batch_size=2, lr=1e-2), **changes),
        weights,
        train,
        range(len(train)),
        validation,
        folder / "logs",
        folder / "model.safetensors",
        folder / "scores.json",
        folder / "frames.safetensors",
    )
    return folder / "model.safetensors", scores
