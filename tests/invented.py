"""Scans invented in memory, for tests that need a whole data set and no file: a few hundred points each, two cameras.

The ground is class 1 and dark, what stands on it is class 2 and bright, and some points have no label to learn; class 3
does not occur. So a network can learn the classes in a few steps.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cmcr.compute import ComputeOptions
from cmcr.data.augment import PointAugmentation
from cmcr.data.batches import ScanDataset
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.range_grid import RangeGrid
from cmcr.data.scan import Camera, Scan
from cmcr.data.scan_record import ScanRecord
from cmcr.data.voxels import VoxelGrid
from cmcr.models.image_encoder import ImageEncoder
from cmcr.models.minkunet import MinkUNetOptions
from cmcr.models.voxelnet import VoxelNetOptions
from cmcr.pretrain.job import PretrainJob
from cmcr.recipe import Recipe
from cmcr.tasks.job import FinetuneJob

CLASS_NAMES = ("ignore", "ground", "thing", "unicorn")
IMAGE_SIZE = (32, 64)
IMAGE_CHANNELS = 6
TINY = MinkUNetOptions(stem=8, planes=(8, 8, 8, 8, 8, 8, 8, 8), blocks=(1, 1, 1, 1, 1, 1, 1, 1))
VOXELS = VoxelGrid(kind="cartesian", size_m=0.5)
TINY_VOXELNET = VoxelNetOptions(channels=(4, 4, 4, 4), top=4, batch_norm_momentum=0.1)
#: Most points lie within: all but those beyond 8 m.
BOUNDS = RangeGrid(bounds_m=(-8, -8, -2, 8, 8, 2), cell_m=(0.5, 0.5, 0.16))


class InventedIndex(ScanIndex):
    """An index whose scans are made when they are read."""

    def read(self, position: int, *, with_labels: bool = True) -> Scan:
        """Return scan number ``position`` of this split."""
        seed = int(self.records[position].token.removeprefix("scan"))
        rng = np.random.default_rng(seed)
        points = rng.uniform(-10, 10, size=(300, 4)).astype(np.float32)
        labels = rng.integers(1, 3, size=300).astype(np.uint8)
        points[:, 2] = np.where(labels == 1, -1.5, rng.uniform(0, 2, size=300))
        points[:, 3] = np.where(labels == 1, 0.2, 0.8) + rng.uniform(-0.1, 0.1, size=300)
        labels[rng.random(300) < 0.1] = 0
        given = labels if with_labels else None
        # Each quarter of the square is one thing.
        quarters = (1 + (points[:, 0] > 0) + 2 * (points[:, 1] > 0)).astype(np.int32)
        instances = np.where(labels == 2, quarters, 0).astype(np.int32) if with_labels and self.thing_classes else None
        return Scan(self.records[position].token, self.dataset, "scene", points, cameras(), given, instances)


def cameras() -> list[Camera]:
    """Return one camera that looks along y and one that looks against it, both at the sensor's place."""
    intrinsics = np.array([[32.0, 0, 32], [0, 32, 16], [0, 0, 1]])
    found = []
    for name, sign in (("front", 1), ("back", -1)):
        pose = np.array([[sign, 0, 0, 0], [0, 0, -1, 0], [0, sign, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
        found.append(Camera(name, Path(f"{name}.jpg"), IMAGE_SIZE, intrinsics, pose, (pose,), (np.eye(4),)))
    return found


def invented_index(scans: int, split: str = "train", first: int = 0) -> InventedIndex:
    """Return a split of ``scans`` scans; ``first`` makes it differ from others."""
    records = tuple(
        ScanRecord(f"scan{first + number}", "scene", number, "none", 0, "none", 0, None, None, (), ())
        for number in range(scans)
    )
    return InventedIndex("invented", "nuscenes", Path("nowhere"), split, "v0", CLASS_NAMES, (), records)


def with_instances(index: InventedIndex) -> InventedIndex:
    """Return the split with panoptic labels: class 2 has instances."""
    records = tuple(dataclasses.replace(record, panoptic="none", panoptic_bytes=0) for record in index.records)
    return dataclasses.replace(index, thing_classes=(2,), records=records, checksum="")


def images_of_one_scan() -> NDArray[np.uint8]:
    """Return two images (2, H, W, 3) with slow changes of colour."""
    row, column = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]]
    first = np.stack([row * 7, column * 3, 200 - row - 2 * column], axis=2)
    return np.stack([first, first[::-1, ::-1]]).clip(0, 255).astype(np.uint8)


class Flat(ImageEncoder):
    """Small means and their squares."""

    out_channels = IMAGE_CHANNELS

    def forward(self, images: Tensor) -> Tensor:
        """See `ImageEncoder.forward`; 1/8 of the resolution."""
        small = F.avg_pool2d(images, 8)
        return torch.cat([small, small.square()], dim=1)


def feature_bank(scans: int, channels: int = 6) -> NDArray[np.float16]:
    """Return image features (scans, 2 cameras, channels, 4, 8) in place of an image encoder's."""
    return np.random.default_rng(7).normal(size=(scans, 2, channels, 4, 8)).astype(np.float16)


def paired_scans(number: int, bank: NDArray[np.float16], grid: VoxelGrid | RangeGrid = VOXELS) -> ScanDataset:
    """Return that many scans with image features and without labels."""
    return ScanDataset(
        invented_index(number),
        range(number),
        grid,
        images=ImageOptions(size=IMAGE_SIZE),
        with_labels=False,
        feature_bank=bank,
    )


def square_superpixels(images: int) -> Tensor:
    """Return (I, H, W) int64 superpixels of eight by eight pixels, as large as the cells of the feature maps."""
    height, width = IMAGE_SIZE
    squares = torch.arange(height)[:, None] // 8 * (width // 8) + torch.arange(width) // 8
    return squares.expand(images, -1, -1).contiguous()


def pretrain_job(**changes: Any) -> PretrainJob:
    """Describe a pre-training of seconds."""
    fields: dict[str, Any] = {
        "method": "ppkt",
        "options": {"num_pairs": 64, "channels": 8},
        "seed": 0,
        "backbone": TINY,
        "voxels": VOXELS,
        "recipe": Recipe(epochs=4, batch_size=2, lr=3e-3),
        "augmentation": PointAugmentation(),
        "images": ImageOptions(size=IMAGE_SIZE),
        "compute": ComputeOptions(),
    }
    return PretrainJob(**{**fields, **changes})


def finetune_job(**changes: Any) -> FinetuneJob:
    """Describe a fine-tuning of seconds."""
    fields: dict[str, Any] = {
        "task": "segmentation",
        "dataset": "invented",
        "toy": True,
        "pretrain_dataset": "none",
        "method": "scratch",
        "protocol": "finetune",
        "label_percent": 50.0,
        "seed": 0,
        "backbone": TINY,
        "voxels": VOXELS,
        "recipe": Recipe(epochs=4, batch_size=2, lr=1e-2),
        "augmentation": PointAugmentation(),
        "compute": ComputeOptions(),
    }
    return FinetuneJob(**{**fields, **changes})
