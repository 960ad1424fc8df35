"""A few scans in nuScenes' file formats, with an index but without tables: all that reading needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_names import CLASS_NAMES, THING_CLASSES
from cmcr.data.scan_record import CameraRecord, ScanRecord, to_text

SCANS, SCENES, IMAGE_SIZE = 6, 3, (48, 80)
#: LiDAR (x right, y forward, z up) to a camera that looks forward and to one that looks back.
LOOKING = {"CAM_FRONT": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "CAM_BACK": [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]}


def write_scan(root: Path, number: int, points: int) -> ScanRecord:
    """Write one scan of random points, labels and images, and return its record."""
    rng = np.random.default_rng(number)
    sweep = rng.uniform(-20, 20, (points, 5)).astype(np.float32)
    sweep[:, 2] /= 10
    sweep[:, 3] = rng.integers(0, 256, points)
    categories = rng.integers(0, 32, points).astype(np.uint8)
    names = {"lidar": f"{number}.bin", "labels": f"{number}_lidarseg.bin", "panoptic": f"{number}_panoptic.npz"}
    sweep.tofile(root / names["lidar"])
    categories.tofile(root / names["labels"])
    instances = rng.integers(0, 3, points).astype(np.uint16) * (categories > 0)  # noise is no object
    np.savez_compressed(root / names["panoptic"], data=categories.astype(np.uint16) * 1000 + instances)
    sizes = {f"{name}_bytes": (root / path).stat().st_size for name, path in names.items()}
    identity = to_text(np.eye(4)[:3])
    cameras = tuple(write_image(root, name, number) for name in LOOKING)
    return ScanRecord(f"scan{number}", f"scene{number * SCENES // SCANS}", number, **names, **sizes,
                      world_from_lidar=(identity, identity), cameras=cameras)  # fmt: skip


def write_image(root: Path, camera: str, number: int) -> CameraRecord:
    """Write an image of random pixels, and return its record."""
    height, width = IMAGE_SIZE
    path = f"{camera}_{number}.jpg"
    pixels = np.random.default_rng([number, len(camera)]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / path)
    intrinsics = np.array([[width / 2, 0, width / 2], [0, width / 2, height / 2], [0, 0, 1]])
    world_from_camera = np.column_stack([np.transpose(LOOKING[camera]), [0.0, 0.5, -0.3]])
    poses = (to_text(world_from_camera), to_text(np.eye(4)[:3]))
    return CameraRecord(camera, path, (root / path).stat().st_size, IMAGE_SIZE, to_text(intrinsics), poses)


@pytest.fixture
def make_scans(tmp_path: Path) -> Callable[..., ScanIndex]:
    """Return a function that writes scans with the given numbers of points below tmp_path, and returns their index."""

    def make(points: tuple[int, ...] = (300, 200, 400, 250, 350, 100)) -> ScanIndex:
        records = tuple(write_scan(tmp_path, number, count) for number, count in enumerate(points))
        return ScanIndex("toy", "nuscenes", tmp_path, "train", "v1", CLASS_NAMES, THING_CLASSES, records)

    return make


@pytest.fixture
def scans(make_scans: Callable[..., ScanIndex]) -> ScanIndex:
    """Six scans of three scenes, each with labels and two images."""
    return make_scans()
