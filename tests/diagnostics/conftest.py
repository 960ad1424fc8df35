"""Invented scans with real image files, and a pre-trained backbone beside its method's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invented import IMAGE_SIZE, TINY, VOXELS
from PIL import Image

from baselines.cmcr import CMCR, CMCROptions
from cmcr.checkpoints import save_tensors
from cmcr.compute import ComputeOptions
from cmcr.data.images import ImageOptions
from cmcr.diagnostics.job import DiagnoseJob, DiagnosticsOptions
from cmcr.evaluation.shared_information import CriticOptions
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.models.image_encoder import SmallResNet, SmallTeacherOptions
from cmcr.pretrain.learned import METHOD_FILE, save_method
from cmcr.pretrain.method import Channels

TEACHER = SmallTeacherOptions(hidden_sizes=(8, 8), out_channels=8)


def diagnose_job(**changes: Any) -> DiagnoseJob:
    """Describe a look of a second."""
    critic = CriticOptions(candidates=32, channels=8, steps=5, pairs_per_step=32)
    fields: dict[str, Any] = {
        "dataset": "invented",
        "toy": True,
        "pretrain_dataset": "invented",
        "method": "cmcr",
        "seed": 0,
        "backbone": TINY,
        "voxels": VOXELS,
        "images": ImageOptions(size=IMAGE_SIZE),
        "teacher": TEACHER,
        "options": DiagnosticsOptions(fit_scans=3, scans=2, points_per_scan=200, critic=critic),
        "compute": ComputeOptions(),
    }
    return DiagnoseJob(**{**fields, **changes})


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image files that invented cameras name, in the current folder: red in front, a gradient behind."""
    monkeypatch.chdir(tmp_path)
    height, width = IMAGE_SIZE
    front = np.zeros((height, width, 3), dtype=np.uint8)
    front[:, :, 0] = 255
    back = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8)[None, :, None], front.shape)
    for name, pixels in (("front", front), ("back", back)):
        Image.fromarray(np.ascontiguousarray(pixels)).save(f"{name}.jpg", quality=95)


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """Weights of a backbone, of CMCR's heads beside it, and of a teacher; returns the backbone's."""
    torch.manual_seed(0)
    backbone = make_backbone(TINY)
    record = BackboneRecord(
        method="cmcr",
        dataset="invented",
        seed=0,
        backbone=TINY,
        voxels=VOXELS,
        data_checksum="beef",
        config_hash="c0ffee",
    )
    save_backbone(tmp_path / "backbone.safetensors", backbone, record)
    save_method(tmp_path / METHOD_FILE, CMCR(CMCROptions(channels=8), Channels(backbone.out_channels, 8)))
    save_tensors(tmp_path / "teacher.safetensors", SmallResNet(TEACHER).state_dict())
    return tmp_path / "backbone.safetensors"
