"""KITTI's object benchmark (Geiger et al., CVPR 2012): from an index to scans.

A sweep is float32 x, y, z, reflectance in [0, 1]. The LiDAR frame has x forward, y left, z up. The sweep is cut to what
the camera of image_2 sees, because only there objects are labelled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.kitti_camera import boxes_in_lidar
from cmcr.data.kitti_labels import DONT_CARE, KittiObjects, read_objects
from cmcr.data.kitti_names import BYTES_PER_POINT, CLASS_NAMES
from cmcr.data.point_files import FRESH, read_points
from cmcr.data.scan import Camera, Scan
from cmcr.data.scan_record import ScanRecord, from_text, pose_from_text
from cmcr.errors import DataError


def read_scan(record: ScanRecord, root: Path, dataset: str, *, with_labels: bool = True) -> Scan:
    """Read one frame: the points in the camera's view, the image's place, and boxes where they are asked for and there.

    DontCare regions are no boxes; `read_labels` has them.

    Raises:
        DataError: a file is missing or damaged, a coordinate is not finite, or the camera sees no point.
    """
    camera = camera_of(record, root)
    points = read_points(root / record.lidar, record.lidar_bytes, BYTES_PER_POINT // 4)
    points = points[in_view(points, camera)]
    if not len(points):
        raise DataError.at(root / record.lidar, expected="points in the camera's view", found="none", fix=FRESH)
    boxes = None
    if with_labels and record.boxes is not None:
        objects = read_labels(record, root)
        objects = objects.select(objects.name != DONT_CARE)
        numbers = {name: number for number, name in enumerate(CLASS_NAMES)}
        classes = np.array([numbers.get(name, 0) for name in objects.name.tolist()], dtype=np.int64)
        boxes = Boxes3D(boxes_in_lidar(objects, rectified_from_lidar(record)), classes)
    return Scan(record.token, dataset, record.scene, points, [camera], None, None, boxes)


def read_labels(record: ScanRecord, root: Path) -> KittiObjects:
    """Read all objects of a frame as the benchmark's evaluation needs them.

    Raises:
        DataError: the frame has no labels, or its file is missing or damaged.
    """
    if record.boxes is None:
        raise DataError(f"frame {record.token} below {root} has no labels; only those of training/ have")
    return read_objects(root / record.boxes)


def rectified_from_lidar(record: ScanRecord) -> NDArray[np.float64]:
    """Return the (4, 4) pose from the LiDAR frame to that of the rectified camera 0, in which label files are."""
    return pose_from_text(record.world_from_lidar[0])


def in_view(points_P3: NDArray[np.float32], camera: Camera) -> NDArray[np.bool_]:
    """Return the (P,) mask of points before the camera that land on its image."""
    pose = camera.camera_from_lidar
    seen = points_P3[:, :3].astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
    height, width = camera.size
    u, v, depth = (seen @ camera.intrinsics.T).T
    # Multiplied out, so that points in the camera's plane divide nothing by zero.
    return (seen[:, 2] > 0) & (u >= 0) & (u < width * depth) & (v >= 0) & (v < height * depth)


def camera_of(record: ScanRecord, root: Path) -> Camera:
    """Return the camera of a frame."""
    (found,) = record.cameras
    rectified_from_camera = pose_from_text(found.world_from_camera[0])
    return Camera(
        name=found.name,
        image_path=root / found.image,
        size=found.size,
        intrinsics=from_text(found.intrinsics, (3, 3)),
        camera_from_lidar=np.linalg.inv(rectified_from_camera) @ rectified_from_lidar(record),
    )
