"""SemanticKITTI and its relatives: from an index to scans (arXiv:1904.01416; `cmcr.data.releases` has the relatives).

A sweep is float32 x, y, z, remission; labels are one uint32 a point, annotated id in the lower and instance in the
upper 16 bits. The LiDAR frame has x forward, y left, z up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcr.data.npy_files import read_npy
from cmcr.data.point_files import FRESH, checked_points
from cmcr.data.releases import UNKNOWN, PointFiles, Release, release_of
from cmcr.data.scan import Camera, Scan
from cmcr.data.scan_record import CameraRecord, ScanRecord, from_text, pose_from_text
from cmcr.errors import DataError
from cmcr.reading import check_regular, reason_of


def read_scan(record: ScanRecord, root: Path, dataset: str, *, with_labels: bool = True) -> Scan:
    """Read one scan: points, labels and instances where they are asked for and there, and where its image is.

    Instances are numbered ``65536 * annotated id + instance``, so that no two objects of a scan share a number.

    Raises:
        DataError: a file is missing or damaged, counts differ, a value is out of range, or an annotated id is unknown.
    """
    release = release_of(record.layout)
    points = _read_points(root / record.lidar, record.lidar_bytes, release.points)
    labels = instances = None
    if with_labels and record.labels is not None:
        labels, instances = _read_labels(root / record.labels, len(points), release)
    cameras = [_camera(camera, root) for camera in record.cameras]
    return Scan(record.token, dataset, record.scene, points, cameras, labels, instances)


def _camera(record: CameraRecord, root: Path) -> Camera:
    return Camera(
        name=record.name,
        image_path=root / record.image,
        size=record.size,
        intrinsics=from_text(record.intrinsics, (3, 3)),
        camera_from_lidar=pose_from_text(record.camera_from_lidar or ""),
    )


def read_numbers(path: Path, num_bytes: int, dtype: str, expected: str) -> NDArray[Any]:
    """Return the array in a file of ``num_bytes``: an npy file's own, or all bytes of any other as ``dtype``.

    Raises:
        DataError: the file is missing, damaged, or not of that size. It is never unpickled.
    """
    try:
        size = check_regular(path)
        if size != num_bytes:
            raise DataError.at(
                path, expected=f"{expected} of {num_bytes} bytes, as indexed", found=f"{size} bytes", fix=FRESH
            )
        if path.suffix == ".npy":
            return read_npy(path)
        return np.fromfile(path, dtype=dtype)
    except (OSError, ValueError) as error:
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=FRESH) from None


def read_raw_points(path: Path, num_bytes: int, files: PointFiles) -> NDArray[Any]:
    """Return (P, 4 or more) numbers as they are stored.

    Raises:
        DataError: see `read_numbers`; or they are not so many a point.
    """
    raw = read_numbers(path, num_bytes, "<f4", "points")
    if path.suffix != ".npy":
        if num_bytes % (4 * files.columns) or not num_bytes:
            raise DataError.at(
                path, expected=f"{4 * files.columns} bytes for each point", found=f"{num_bytes} bytes", fix=FRESH
            )
        raw = raw.reshape(-1, files.columns)
    if raw.ndim != 2 or raw.shape[1] < 4 or not len(raw) or raw.dtype.kind not in "fiu":
        found = f"{raw.dtype} of shape {raw.shape}"
        raise DataError.at(path, expected="points x 4 numbers or more", found=found, fix=FRESH)
    return raw


def _read_points(path: Path, num_bytes: int, files: PointFiles) -> NDArray[np.float32]:
    """Return (P, 4) points with intensity in [0, 1]."""
    raw = read_raw_points(path, num_bytes, files)
    way_out = f"{FRESH}; or describe the data set with another intensity_max (docs/datasets.md)"
    return checked_points(path, raw, files.intensity_max, way_out)


def _read_labels(path: Path, num_points: int, release: Release) -> tuple[NDArray[np.uint8], NDArray[np.int32] | None]:
    """Return (P,) classes and, of a data set that tells things apart, (P,) instances."""
    try:
        num_bytes = check_regular(path)
    except OSError as error:
        raise DataError.at(path, expected=f"{num_points} labels", found=reason_of(error), fix=FRESH) from None
    if path.suffix != ".npy" and num_bytes != 4 * num_points:
        raise DataError.at(
            path,
            expected=f"{num_points} labels of 4 bytes, one for each point",
            found=f"{num_bytes / 4:g}",
            fix=FRESH,
        )
    raw = read_numbers(path, num_bytes, "<u4", f"{num_points} labels").reshape(-1)
    if raw.shape != (num_points,) or raw.dtype.kind not in "iu":
        raise DataError.at(
            path, expected=f"{num_points} labels, one for each point", found=f"{raw.dtype} x {len(raw)}", fix=FRESH
        )
    # No description has an id as large as 0xFFFF, so that what is no id at all is found with the unknown ones.
    ids = np.where((raw >= 0) & (raw < 0xFFFF), raw, 0xFFFF) if path.suffix == ".npy" else raw & 0xFFFF
    classes = release.table[ids]
    if classes.max() == UNKNOWN:
        first = int(np.argmax(classes == UNKNOWN))
        raise DataError.at(
            path,
            expected=f"ids that {release.title} annotates",
            found=f"id {raw[first] if path.suffix == '.npy' else ids[first]} at point {first}",
            fix="fetch the labels again; where the id is meant, describe the data set with it (docs/datasets.md)",
        )
    if not release.things or path.suffix == ".npy":
        return classes, None
    return classes, np.where(raw > 0xFFFF, (ids << 16) | (raw >> 16), 0).astype(np.int32)
