"""Waymo Open Dataset: from an index of converted segments to scans (arXiv:1912.04838).

`workflow/waymo/convert.py` makes the files: float32 x, y, z in metres and intensity in [0, 1], in a frame with its
origin at the top LiDAR, x forward, y left, z up; uint32 labels with the class in the lower 16 bits and the instance
above.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.data.point_files import read_bytes, read_points
from cmcr.data.scan import Camera, Scan
from cmcr.data.scan_record import CameraRecord, ScanRecord, annotations_of, from_text, pose_from_text
from cmcr.data.waymo_boxes import WaymoBoxes
from cmcr.data.waymo_names import BYTES_PER_LABEL, BYTES_PER_POINT, CLASS_NAMES
from cmcr.errors import DataError

_AGAIN = "convert the segment again"


def read_scan(record: ScanRecord, root: Path, dataset: str, *, with_labels: bool = True) -> Scan:
    """Read one frame: points, labels, instances and boxes where they are asked for and there, and where its images are.

    Raises:
        DataError: a file is missing or damaged, a coordinate is not finite, or a class is unknown.
    """
    points = read_points(root / record.lidar, record.lidar_bytes, BYTES_PER_POINT // 4, way_out=_AGAIN)
    labels = instances = None
    if with_labels and record.labels is not None:
        labels, instances = _read_labels(root / record.labels, len(points))
    world_from_lidar = tuple(pose_from_text(pose) for pose in record.world_from_lidar)
    cameras = [_camera(camera, root, world_from_lidar) for camera in record.cameras]
    boxes = read_boxes(record, root).as_boxes() if with_labels and record.annotations is not None else None
    return Scan(record.token, dataset, record.scene, points, cameras, labels, instances, boxes)


def read_boxes(record: ScanRecord, root: Path) -> WaymoBoxes:
    """Return the boxes of a frame with what the official metrics ask for.

    Raises:
        DataError: nothing is labelled in the frame's segment.
    """
    wanted, way_out = "a segment with labelled boxes", "use training or validation; those of testing are not published"
    return WaymoBoxes.from_text(annotations_of(record, root, wanted, way_out))


def _camera(record: CameraRecord, root: Path, world_from_lidar: tuple[NDArray[np.float64], ...]) -> Camera:
    world_from_camera = tuple(pose_from_text(pose) for pose in record.world_from_camera)
    up, down = (np.linalg.multi_dot([*reversed(poses)]) for poses in (world_from_lidar, world_from_camera))
    return Camera(
        name=record.name,
        image_path=root / record.image,
        size=record.size,
        intrinsics=from_text(record.intrinsics, (3, 3)),
        camera_from_lidar=np.linalg.inv(down) @ up,
        world_from_lidar=world_from_lidar,
        world_from_camera=world_from_camera,
        distortion=None if record.distortion is None else from_text(record.distortion, (1, 5))[0],
    )


def _read_labels(path: Path, num_points: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return (P,) classes and (P,) instances, numbered ``1 << 16`` apart by class so that no two share a number."""
    raw = read_bytes(path, f"{num_points} labels", BYTES_PER_LABEL * num_points, _AGAIN)
    if len(raw) != BYTES_PER_LABEL * num_points:
        expected = f"{num_points} labels of {BYTES_PER_LABEL} bytes, one for each point"
        raise DataError.at(path, expected=expected, found=f"{len(raw)} bytes", fix=_AGAIN)
    words = np.frombuffer(raw, dtype="<u4")
    classes, numbers = words & 0xFFFF, words >> 16
    unknown = np.flatnonzero(classes >= len(CLASS_NAMES))
    if len(unknown):
        found = f"class {classes[unknown[0]]} at point {unknown[0]}"
        raise DataError.at(path, expected=f"classes 0 to {len(CLASS_NAMES) - 1}", found=found, fix=_AGAIN)
    return classes.astype(np.uint8), np.where(numbers > 0, words, 0).astype(np.int32)
