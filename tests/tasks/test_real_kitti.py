"""A real frame of KITTI: a detector that is shown nothing else finds its cars."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from invented import finetune_job

from cmcr.data.kitti_index import make_index
from cmcr.data.range_grid import RangeGrid
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.models.voxelnet import VoxelNetOptions
from cmcr.pictures import write_picture
from cmcr.pictures_detection import draw_detection
from cmcr.recipe import Recipe
from cmcr.tasks.finetune import finetune

#: SECOND's cells are 0.05 m wide and its 2D network has twice five layers; so it takes a minute and not an hour.
GRID = RangeGrid(bounds_m=(0, -10, -3, 38.4, 10, 1), cell_m=(0.1, 0.1, 0.1))
NETWORK = VoxelNetOptions(batch_norm_momentum=0.1)
OPTIONS: dict[str, Any] = {
    "sampling": None,
    "bev": {
        "layers": (2, 2),
        "strides": (1, 2),
        "channels": (64, 64),
        "up_channels": (64, 64),
        "batch_norm_momentum": 0.1,
    },
}
STEPS = 90


@pytest.mark.slow
def test_the_cars_of_the_real_frame_are_found(shared: Path, tmp_path: Path) -> None:
    index = make_index("kitti", shared / "real" / "kitti", "training", "train")
    # The same frame many times, because a recall of 1 needs as many objects as there are recall points.
    again = tuple(dataclasses.replace(index.records[0], token=f"{number:06d}") for number in range(9000, 9012))
    validation = dataclasses.replace(index, split="val", records=again, checksum="")
    torch.manual_seed(0)
    record = BackboneRecord(
        method="scratch", dataset="none", seed=0, backbone=NETWORK, voxels=GRID, config_hash="", data_checksum=""
    )
    save_backbone(tmp_path / "backbone.safetensors", make_backbone(NETWORK, GRID), record)
    job = finetune_job(
        task="detection",
        options=OPTIONS,
        dataset="kitti",
        toy=False,
        backbone=NETWORK,
        voxels=GRID,
        label_percent=100.0,
        recipe=Recipe(epochs=STEPS, batch_size=1, optimizer="adamw", lr=3e-3, weight_decay=0.01, schedule="one_cycle"),
        augmentation=None,
    )
    scores = finetune(
        job,
        tmp_path / "backbone.safetensors",
        index,
        [0],
        validation,
        tmp_path / "logs",
        tmp_path / "model.safetensors",
        tmp_path / "scores.json",
        tmp_path / "frames.safetensors",
    )
    found = {(metric.metric, metric.class_name): metric.value for metric in scores.metrics}
    for name in ("ap_image_moderate", "ap_bev_moderate", "ap_3d_moderate", "ap_3d_hard"):
        assert found[name, "Car"] == pytest.approx(100)
    assert (found["aos_hard", "Car"] or 0) > 99
    write_picture(
        tmp_path / "boxes.png",
        draw_detection(tmp_path / "model.safetensors", index, 0, "The real frame, learned by heart"),
        points_first=False,
    )
    assert (tmp_path / "boxes.png").stat().st_size > 100_000
