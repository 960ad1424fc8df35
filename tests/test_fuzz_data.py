"""Every reader of data sets on changed bytes: one message or a sound value, never another error or a wrong number."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage_tools import header_of_index
from damage_yard import LIDARSEG, PANOPTIC, SWEEP
from fuzz import CASES as MANY
from fuzz import FEW, Case, fuzz, signed

from cmcr.data.image_bank import read_feature_bank
from cmcr.data.image_files import image_size, read_image
from cmcr.data.images import read_resized
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_calibration import read_calibration as read_kitti_calibration
from cmcr.data.kitti_index import make_index as kitti_index
from cmcr.data.kitti_labels import TYPES, read_objects
from cmcr.data.kitti_odometry import read_calibration, read_poses, read_times
from cmcr.data.nuscenes import CATEGORIES
from cmcr.data.nuscenes_index import make_index as nuscenes_index
from cmcr.data.nuscenes_tables import LABEL_TABLES, TABLES
from cmcr.data.point_files import read_points
from cmcr.data.releases import Release, load_release
from cmcr.data.rigid import is_rotation
from cmcr.data.scan import Camera, Scan
from cmcr.data.scan_record import ScanRecord
from cmcr.data.semantic_kitti_index import make_index as semantic_kitti_index
from cmcr.data.subsets import Subset
from cmcr.data.superpixels import SuperpixelFiles, SuperpixelOptions
from cmcr.data.waymo_boxes import WaymoBoxes
from cmcr.data.waymo_index import make_index as waymo_index

pytestmark = [pytest.mark.torture, pytest.mark.slow]


def is_index(index: ScanIndex) -> bool:
    """What other readers rely on; that it can be written and read again says that its records are well formed."""
    return len(index) > 0 and all(
        isinstance(record.timestamp_us, int) and all(min(camera.size) > 0 for camera in record.cameras)
        for record in index.records
    )


def has_sound_boxes(record: ScanRecord) -> bool:
    if record.annotations is None:
        return True
    boxes = WaymoBoxes.from_text(record.annotations)
    sound = finite(boxes.geometry) and bool((boxes.geometry[:, 3:6] > 0).all())
    return sound and len(boxes.as_boxes()) == len(boxes.types)


def finite(*arrays: np.ndarray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def are_points(points: np.ndarray, number: int) -> bool:
    return points.shape == (number, 4) and finite(points) and np.abs(points[:, 3] - 0.5).max() <= 0.5


def has_labels(scan: Scan, number: int, classes: int) -> bool:
    assert scan.labels is not None
    return scan.labels.shape == (number,) and scan.labels.max() < classes


def camera(path: Path, size: tuple[int, int] = (20, 40)) -> Camera:
    return Camera("c", path, size, np.eye(3), np.eye(4))


semantic_kitti = partial(semantic_kitti_index, "d", version="semantic_kitti", split="val")
rellis = partial(semantic_kitti_index, "d", version="rellis_3d", split="val")
synth4d = partial(semantic_kitti_index, "d", version="synth4d_kitti", split="val")
SYNTH4D = "Synth4D/kitti_synth/Town10HD"


def sign_index(content: bytes) -> bytes:
    """Give a scan index the checksums of its records and of its header."""
    return header_of_index(checksum=hashlib.sha256(content.partition(b"\n")[2]).hexdigest())(content)


def is_scan(scan: Scan) -> bool:
    return are_points(scan.points, len(scan.points)) and all(
        finite(camera.camera_from_lidar, camera.intrinsics) for camera in scan.cameras
    )


#: By reader. What has a checksum is as it was, or refused.
CASES: dict[str, Case] = {
    "labels of KITTI": (
        "KITTI/training/label_2/000003.txt",
        read_objects,
        lambda o: finite(o.size, o.location, o.image_box) and set(o.name.tolist()) <= set(TYPES),
    ),
    "calibration of KITTI": (
        "KITTI/training/calib/000003.txt",
        read_kitti_calibration,
        lambda c: is_rotation(c.rectified_from_lidar[:3, :3]) and finite(np.linalg.inv(c.intrinsics)),
    ),
    "frames of KITTI": (
        "KITTI/ImageSets/train.txt",
        lambda path: kitti_index("d", path.parents[1], "training", "train"),
        lambda index: {record.token for record in index.records} <= {"000003", "000004"},
    ),
    "points of KITTI": (
        "KITTI/training/velodyne/000003.bin",
        lambda path: kitti_index("d", path.parents[2], "training", "train").read(0).points,
        lambda points: are_points(points, len(points)) and len(points) > 0,
    ),
    "calibration of SemanticKITTI": (
        "SemanticKITTI/sequences/08/calib.txt",
        read_calibration,
        lambda c: is_rotation(c.camera_from_lidar[:3, :3]) and finite(np.linalg.inv(c.intrinsics)),
    ),
    "poses of SemanticKITTI": (
        "SemanticKITTI/sequences/08/poses.txt", read_poses, lambda p: finite(p) and p.shape[1:] in {(3, 4), ()},
    ),
    "times of SemanticKITTI": ("SemanticKITTI/sequences/08/times.txt", read_times, finite),
    "points of SemanticKITTI": (
        "SemanticKITTI/sequences/08/velodyne/000000.bin",
        lambda path: semantic_kitti(path.parents[3]).read(0).points,
        lambda points: are_points(points, 50),
    ),
    "labels of SemanticKITTI": (
        "SemanticKITTI/sequences/08/labels/000000.label",
        lambda path: semantic_kitti(path.parents[3]).read(0),
        lambda scan: has_labels(scan, 50, 20) and len(scan.instances) == 50,
    ),
    "scans of RELLIS-3D": (
        "RELLIS-3D/pt_val.lst",
        lambda path: rellis(path.parent),
        lambda index: 0 < len({record.token for record in index.records}) == len(index) <= 4,
    ),
    "points of Synth4D": (
        f"{SYNTH4D}/velodyne/000000.npy",
        lambda path: synth4d(path.parents[3]).read(0).points,
        lambda points: are_points(points, 50),
    ),
    "labels of Synth4D": (
        f"{SYNTH4D}/labels/000000.npy",
        lambda path: synth4d(path.parents[3]).read(0),
        lambda scan: has_labels(scan, 50, 23),
    ),
    "label map": (
        "label map/mine.yaml",
        lambda path: load_release.__wrapped__(str(path)),
        lambda release: isinstance(release, Release) and release.table.max() == 255,
    ),
    "points of Waymo": (
        "Waymo/training/seg/0.points",
        lambda path: read_points(path, 48, 4),
        lambda points: are_points(points, 3),
    ),
    "labels of Waymo": (
        "Waymo/training/seg/0.labels",
        lambda path: waymo_index("d", path.parents[2], "v1", "training").read(0),
        lambda scan: has_labels(scan, 3, 23) and len(scan.instances) == 3,
    ),
    "segments of Waymo": (
        "Waymo/training/seg.json",
        lambda path: waymo_index("d", path.parents[1], "v1", "training"),
        lambda index: is_index(index) and all(map(has_sound_boxes, index.records)),
    ),
    "points of nuScenes": (
        f"nuScenes/{SWEEP}",
        lambda path: ScanIndex.load(path.parents[1] / "pre-training" / "index.jsonl").read(0).points,
        lambda points: are_points(points, len(points)),
    ),
    "scan index": (
        "pre-training/index.jsonl", ScanIndex.load, lambda index: fields(index) == fields(ORIGINAL["index"]),
    ),
    "scan index, signed": (
        "pre-training/index.jsonl", signed(lambda path: ScanIndex.load(path).read(0), sign_index), is_scan,
    ),
    "label subset": ("pre-training/subset.txt", Subset.load, lambda subset: subset == ORIGINAL["subset"]),
    "feature bank": (
        "pre-training/features.npy", read_feature_bank, lambda bank: bank.ndim == 5 and bank.dtype == np.float16,
    ),
    "JPEG": ("image.jpg", lambda path: read_image(camera(path)), lambda pixels: pixels.shape == (20, 40, 3)),
    "PNG": ("image.png", lambda path: read_image(camera(path)), lambda pixels: pixels.shape == (20, 40, 3)),
    "large JPEG": (
        "large.jpg", lambda path: read_resized(camera(path, (320, 480)), (21, 40)), lambda p: p.shape == (21, 40, 3),
    ),
    "size of a JPEG": ("image.jpg", lambda path: image_size(path, "an image", "none"), lambda size: min(size) > 0),
    "size of a PNG": ("image.png", lambda path: image_size(path, "an image", "none"), lambda size: min(size) > 0),
}  # fmt: skip

ORIGINAL: dict[str, Any] = {}


def fields(index: ScanIndex) -> tuple[Any, ...]:
    return tuple(getattr(index, field.name) for field in dataclasses.fields(index))


@pytest.fixture(scope="module")
def yard(fuzz_yard: Path) -> Path:
    ORIGINAL["index"] = ScanIndex.load(fuzz_yard / "pre-training" / "index.jsonl")
    ORIGINAL["subset"] = Subset.load(fuzz_yard / "pre-training" / "subset.txt")
    return fuzz_yard


@pytest.mark.parametrize("reader", CASES)
def test_changed_files_are_refused_or_sound(yard: Path, reader: str) -> None:
    file, read, sound = CASES[reader]
    fuzz(yard / file, read, sound)


#: Tables of which nothing is used.
TOKENS_ALONE = ("log", "map", "sensor", "visibility")


@pytest.mark.parametrize("table", [*TABLES, *LABEL_TABLES])
def test_changed_tables_of_nuscenes_are_refused_or_sound(yard: Path, tmp_path: Path, table: str) -> None:
    root = tmp_path / "nuScenes"
    shutil.copytree(yard / "nuScenes", root)

    def read(path: Path) -> ScanIndex:
        return nuscenes_index("d", path.parents[1], "v1.0-mini", "mini_train")

    def sound(index: ScanIndex) -> bool:
        index.save(tmp_path / "index.jsonl")
        return is_index(index) and ScanIndex.load(tmp_path / "index.jsonl").records == index.records

    fuzz(root / "v1.0-mini" / f"{table}.json", read, sound, FEW if table in TOKENS_ALONE else MANY)


@pytest.mark.parametrize("file", [PANOPTIC, LIDARSEG])
def test_changed_labels_of_nuscenes_are_refused_or_sound(yard: Path, tmp_path: Path, file: str) -> None:
    root = tmp_path / "nuScenes"
    shutil.copytree(yard / "nuScenes", root)
    index = nuscenes_index("d", root, "v1.0-mini", "mini_train")
    number = next(n for n, record in enumerate(index.records) if file in (record.labels, record.panoptic))
    fuzz(
        root / file,
        lambda _: index.read(number),
        lambda scan: scan.labels.max() < 17 and scan.instances.max() < 1000 * len(CATEGORIES),
    )


def test_changed_superpixels_are_refused_or_sound(yard: Path) -> None:
    index = ScanIndex.load(yard / "pre-training" / "index.jsonl")
    files = SuperpixelFiles(yard / "pre-training" / "superpixels", index.root, SuperpixelOptions(segments=8))
    of = index.read(0, with_labels=False).cameras[0]
    fuzz(files.path(of), lambda _: files.read(of), lambda regions: regions.shape == of.size)
