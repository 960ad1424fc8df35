"""nuScenes: from an index to scans (arXiv:1903.11027; lidarseg and panoptic labels: arXiv:2109.03805).

A sweep is float32 x, y, z, intensity in [0, 255], ring; lidarseg labels are one uint8 a point; panoptic labels an npz
whose ``data`` is uint16 ``1000 * category + instance``. The LiDAR frame has x right, y forward, z up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.data.npy_files import read_npz
from cmcr.data.nuscenes_boxes import AnnotatedBoxes, boxes_in_lidar
from cmcr.data.nuscenes_names import BYTES_PER_POINT, CATEGORIES, CLASS_OF_CATEGORY
from cmcr.data.point_files import FRESH, read_bytes, read_points
from cmcr.data.scan import VOID, Camera, Scan
from cmcr.data.scan_record import CameraRecord, ScanRecord, annotations_of, from_text, pose_from_text
from cmcr.errors import DataError
from cmcr.reading import reason_of

#: Numbers of a point: x, y, z, intensity and ring.
COLUMNS = BYTES_PER_POINT // 4


def read_scan(record: ScanRecord, root: Path, dataset: str, *, with_labels: bool = True) -> Scan:
    """Read one keyframe: points, where its images are, and labels, instances and boxes where asked for and there.

    Instances are numbered ``1000 * category + instance``, so that no two objects of a scan share a number. A point with
    the panoptic label 0 though lidarseg has a category for it is `VOID`: it lies in the boxes of two objects, and the
    panoptic challenge leaves it out (devkit, eval/panoptic/README.md). Boxes are all that are annotated, those without
    a return among them.

    Raises:
        DataError: a file is missing or damaged, counts differ, a coordinate is not finite, a class id is unknown, an
            instance has no category, or lidarseg and panoptic labels contradict each other.
    """
    points = read_points(root / record.lidar, record.lidar_bytes, COLUMNS, intensity_max=255)
    categories = instances = None
    if with_labels and record.labels is not None:
        categories = _read_categories(root / record.labels, len(points))
    if with_labels and record.panoptic is not None:
        instances = _read_instances(root / record.panoptic, categories, len(points))
    labels = None if categories is None else CLASS_OF_CATEGORY[categories]
    world_from_lidar = tuple(pose_from_text(pose) for pose in record.world_from_lidar)
    cameras = [_camera(camera, root, world_from_lidar) for camera in record.cameras]
    boxes = None
    if with_labels and record.annotations is not None:
        boxes = boxes_in_lidar(AnnotatedBoxes.from_text(record.annotations), _compose(world_from_lidar))
    return Scan(record.token, dataset, record.scene, points, cameras, labels, instances, boxes)


def read_boxes(record: ScanRecord, root: Path) -> AnnotatedBoxes:
    """Return the boxes of a keyframe as they are annotated, which is what the official evaluation needs.

    Raises:
        DataError: nothing is annotated in the keyframe's split.
    """
    wanted = "a split that sample_annotation.json has boxes for"
    way_out = "use train or val of v1.0-trainval; those of the test split are not published"
    return AnnotatedBoxes.from_text(annotations_of(record, root, wanted, way_out))


def lidar_pose(record: ScanRecord) -> NDArray[np.float64]:
    """Return the (4, 4) pose from the LiDAR frame to the world, in which annotations and submissions are."""
    return _compose(tuple(pose_from_text(pose) for pose in record.world_from_lidar))


def _camera(record: CameraRecord, root: Path, world_from_lidar: tuple[NDArray[np.float64], ...]) -> Camera:
    world_from_camera = tuple(pose_from_text(pose) for pose in record.world_from_camera)
    return Camera(
        name=record.name,
        image_path=root / record.image,
        size=record.size,
        intrinsics=from_text(record.intrinsics, (3, 3)),
        camera_from_lidar=np.linalg.inv(_compose(world_from_camera)) @ _compose(world_from_lidar),
        world_from_lidar=world_from_lidar,
        world_from_camera=world_from_camera,
    )


def _compose(poses: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
    """Return the one pose that applies ``poses`` in order."""
    return np.linalg.multi_dot([*reversed(poses)]) if len(poses) > 1 else poses[0]


def _read_categories(path: Path, num_points: int) -> NDArray[np.uint8]:
    """Return (P,) annotated categories."""
    categories = np.frombuffer(read_bytes(path, f"{num_points} labels", num_points), dtype=np.uint8)
    _check_categories(path, categories, num_points)
    return categories


def _read_instances(path: Path, lidarseg: NDArray[np.uint8] | None, num_points: int) -> NDArray[np.int32]:
    """Return (P,) instance numbers, 0 where the instance part is 0, `VOID` where only lidarseg has a category."""
    try:
        # Numbers of eight bytes at most; the challenge's have two.
        numbers = read_npz(path, "data", 8 * num_points)
        if numbers.dtype.kind not in "iu":
            raise ValueError(f"{numbers.dtype} instead of whole numbers")
    except (OSError, ValueError) as error:
        expected = f"an npz archive with the array 'data' of {num_points} labels"
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=FRESH) from None
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < 2**16:
        found = f"{numbers.min()} to {numbers.max()}"
        raise DataError.at(path, expected="labels of 16 bits", found=found, fix=FRESH)
    panoptic = numbers.astype(np.int32)
    categories = panoptic // 1000
    _check_categories(path, categories, num_points)
    nameless = np.flatnonzero((categories == 0) & (panoptic > 0))
    if len(nameless):
        raise DataError.at(
            path,
            expected="instances with a category, 1000 * category + instance",
            found=f"instance {panoptic[nameless[0]]} without one, at {len(nameless)} points, {nameless[0]} the first",
            fix=FRESH,
        )
    instances = np.where(panoptic % 1000 > 0, panoptic, 0)
    if lidarseg is None:
        return instances
    # Of the challenge's classes, and not of the categories: whether a bus is bendy or rigid is nothing to anyone here.
    apart = np.flatnonzero((CLASS_OF_CATEGORY[categories] != CLASS_OF_CATEGORY[lidarseg]) & (categories != 0))
    if len(apart):
        first = apart[0]
        raise DataError.at(
            path,
            expected="the classes of lidarseg, or category 0 where boxes overlap",
            found=f"others at {len(apart)} of {num_points} points: category {categories[first]} at point {first}, where"
            f" lidarseg has {lidarseg[first]}",
            fix="fetch lidarseg and panoptic labels of the same release",
        )
    instances[(categories == 0) & (lidarseg != 0)] = VOID
    return instances


def _check_categories(path: Path, categories: NDArray[np.integer], num_points: int) -> None:
    if categories.shape != (num_points,):
        raise DataError.at(
            path,
            expected=f"{num_points} labels, one for each point of the sweep",
            found=f"{' x '.join(map(str, categories.shape))}",
            fix=FRESH,
        )
    unknown = np.unique(categories[(categories < 0) | (categories >= len(CATEGORIES))])
    if len(unknown):
        raise DataError.at(
            path,
            expected=f"category ids from 0 to {len(CATEGORIES) - 1}",
            found=f"unknown ids {', '.join(map(str, unknown[:5]))}",
            fix=FRESH,
        )
