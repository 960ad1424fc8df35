"""The way of one scan to a batch: every stage, at the size of nuScenes, on a keyframe of the toy city."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.measure import Case, Work
from cmcr.data.augment import ImageCrop, PointAugmentation
from cmcr.data.batches import ScanDataset, collate
from cmcr.data.draws import Draw
from cmcr.data.image_files import read_image
from cmcr.data.images import ImageOptions, load_paired_images
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_index import make_index
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene
from cmcr.data.toy.formats import FORMATS
from cmcr.data.voxels import VoxelGrid, voxelize

IMAGE_SIZE, COLUMNS = (900, 1600), 1084

#: Keeps the folders of the cities until the process ends.
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def make_city(city: ToyCityOptions) -> ScanIndex:
    """Write a toy city in nuScenes' format, to stay until the process ends, and index its training split."""
    _FOLDERS.append(tempfile.TemporaryDirectory())
    root, made = Path(_FOLDERS[-1].name), FORMATS["nuscenes"]
    parts = [root / f"{scene}.json" for scene in city.scene_names()]
    for scene, part in zip(city.scene_names(), parts, strict=True):
        write_scene(city, scene, root, part)
    join_scenes(parts, root)
    return make_index("toy", root, made.version, made.train_split)


def sample_stages() -> Mapping[str, Work]:
    """The whole of what pre-training does with a scan, and its parts."""
    index = make_city(
        ToyCityOptions(train_scenes=1, validation_scenes=1, keyframes=1, image_size=IMAGE_SIZE, azimuth_steps=COLUMNS)
    )
    grid = VoxelGrid(kind="cartesian", size_m=0.1)
    images = ImageOptions(crop=ImageCrop())
    scans = ScanDataset(index, [0], grid, augmentation=PointAugmentation(), images=images, with_labels=False)
    scan, sample = index.read(0, with_labels=False), scans[Draw(0, 0)]
    return {
        "the whole sample": lambda: scans[Draw(0, 0)],
        "read the sweep": lambda: index.read(0, with_labels=False),
        "pair points with pixels": lambda: pair_points_with_pixels(scan.points, scan.cameras),
        "pair, decode, crop, resize": lambda: load_paired_images(scan, images, np.random.default_rng(0)),
        "decode six whole images": lambda: [read_image(camera) for camera in scan.cameras],
        "voxelise": lambda: voxelize(scan.points[:, :3], grid),
        "put a batch of four together": lambda: collate([sample] * 4),
    }


CASES = {"sample": Case("one pre-training sample, six images of 900 x 1600", sample_stages, stages=True)}
