"""KITTI's calibration files: a name, a colon and a matrix row by row on each line.

A point of the LiDAR lands at pixel P2 R0_rect Tr_velo_to_cam x of image_2. The frame after R0_rect, that of the
rectified camera 0, is the one that labels are in; P2 = K [I | t] takes it to the camera of image_2, shifted by t.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.data.rigid import check_rotation
from cmcr.errors import DataError
from cmcr.reading import read_text, reason_of

_SHAPES = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}


@dataclass(frozen=True, eq=False)
class Calibration:
    """Where the LiDAR and the camera of image_2 are.

    Attributes:
        intrinsics: (3, 3) K, camera frame to pixels.
        rectified_from_lidar: (4, 4) R0_rect Tr_velo_to_cam.
        rectified_from_camera: (4, 4) the shift -t.
    """

    intrinsics: NDArray[np.float64]
    rectified_from_lidar: NDArray[np.float64]
    rectified_from_camera: NDArray[np.float64]

    @property
    def camera_from_lidar(self) -> NDArray[np.float64]:
        """(4, 4) LiDAR frame to the frame of the camera of image_2."""
        return np.linalg.inv(self.rectified_from_camera) @ self.rectified_from_lidar


def read_calibration(path: Path) -> Calibration:
    """Read one frame's file.

    Raises:
        DataError: the file is missing, lacks one of the three matrices, or holds something else than their numbers.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError.at(path, expected="calibration", found=reason_of(error), fix="fetch the file again") from None
    found_matrices: dict[str, NDArray[np.float64]] = {}
    for number, line in enumerate(lines, 1):
        name, _, text = line.partition(":")
        if name in _SHAPES:
            found_matrices[name] = _matrix(f"{path}, line {number}", text, _SHAPES[name])
    if missing := [name for name in _SHAPES if name not in found_matrices]:
        raise DataError.at(
            path,
            expected=f"lines that begin with {', '.join(f'{name}:' for name in _SHAPES)}",
            found=f"no {', '.join(missing)}",
            fix="fetch the calibration of the object benchmark; KITTI's other benchmarks name their matrices otherwise",
        )
    projection = found_matrices["P2"]
    intrinsics = projection[:, :3]
    if np.linalg.matrix_rank(intrinsics) < 3:
        raise DataError.at(path, expected="P2 with intrinsics that can be inverted", found=str(projection.tolist()))
    check_rotation(path, "R0_rect", found_matrices["R0_rect"])
    check_rotation(path, "Tr_velo_to_cam", found_matrices["Tr_velo_to_cam"][:, :3])
    rectified_from_camera, rotation, pose = np.eye(4), np.eye(4), np.eye(4)
    rectified_from_camera[:3, 3] = -np.linalg.solve(intrinsics, projection[:, 3])
    rotation[:3, :3] = found_matrices["R0_rect"]
    pose[:3] = found_matrices["Tr_velo_to_cam"]
    return Calibration(intrinsics, rotation @ pose, rectified_from_camera)


def _matrix(place: str, text: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError:
        values = np.empty(0)
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        raise DataError.at(
            place,
            expected=f"{shape[0]} x {shape[1]} finite numbers after the name",
            found=text.strip() or "none",
            fix="fetch the file again",
        )
    return values.reshape(shape)
