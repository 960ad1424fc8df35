"""The text files of a sequence in KITTI's odometry format (doi 10.1109/CVPR.2012.6248074): calibration, poses, times.

``calib.txt`` has the 3x4 projections P0 to P3 of the four rectified cameras, from the frame of camera 0 to pixels, and
Tr, from the LiDAR frame to that of camera 0. ``poses.txt`` has a line a scan: the 3x4 pose of camera 0 in the world.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.data.rigid import check_rotation
from cmcr.errors import DataError
from cmcr.reading import read_text, reason_of

#: Scans a second, where times.txt does not say when each was taken.
RATE_HZ = 10.0

#: Metres, pixels or seconds of a sequence do not come near this.
LARGEST = 1e9

_FIX = "unpack KITTI's odometry calibration (data_odometry_calib.zip) into the sequences"


@dataclass(frozen=True, eq=False)
class Calibration:
    """What ``calib.txt`` says of camera 2.

    Attributes:
        intrinsics: (3, 3) camera 2 to pixels.
        camera_from_lidar: (4, 4) LiDAR frame to that of camera 2.
        camera0_from_lidar: (4, 4) Tr, LiDAR frame to that of camera 0.
    """

    intrinsics: NDArray[np.float64]
    camera_from_lidar: NDArray[np.float64]
    camera0_from_lidar: NDArray[np.float64]


def read_calibration(path: Path) -> Calibration:
    """Read calib.txt.

    P2 = K [I | t] with t the place of camera 0 in the frame of camera 2: the 6 cm between the two are in P2's fourth
    column as K t. So K is P2's left part, and the camera's pose [I | K^-1 p] Tr: together they give P2 Tr.

    Raises:
        DataError: the file is missing or damaged, or has no P2 or Tr, or one that no camera can have.
    """
    matrices = {}
    for number, line in enumerate(_lines(path, "the calibration of a sequence", _FIX), start=1):
        name, _, values = line.partition(":")
        if name.strip() in ("P2", "Tr"):
            matrices[name.strip()] = _numbers(path, number, values, 12).reshape(3, 4)
    missing = [name for name in ("P2", "Tr") if name not in matrices]
    if missing:
        raise DataError.at(path, expected="lines with P2 and Tr", found=f"no {' and no '.join(missing)}", fix=_FIX)
    intrinsics = matrices["P2"][:, :3]
    if abs(np.linalg.det(intrinsics)) < 1e-9:
        raise DataError.at(path, expected="a projection P2 of full rank", found="one that no camera has", fix=_FIX)
    check_rotation(path, "Tr", matrices["Tr"][:, :3])
    camera_from_camera0 = np.eye(4)
    camera_from_camera0[:3, 3] = np.linalg.solve(intrinsics, matrices["P2"][:, 3])
    camera0_from_lidar = np.vstack([matrices["Tr"], (0.0, 0.0, 0.0, 1.0)])
    return Calibration(intrinsics, camera_from_camera0 @ camera0_from_lidar, camera0_from_lidar)


def read_poses(path: Path) -> NDArray[np.float64]:
    """Return (N, 3, 4) poses of camera 0 in the world, one a scan.

    Raises:
        DataError: the file cannot be read, or a line is not 12 finite numbers.
    """
    lines = _lines(path, "a pose a line", "fetch the file again")
    return np.array([_numbers(path, number, line, 12).reshape(3, 4) for number, line in enumerate(lines, start=1)])


def read_times(path: Path) -> NDArray[np.float64]:
    """Return (N,) seconds since the sequence's start, one a scan.

    Raises:
        DataError: the file cannot be read, or a line is not one finite number.
    """
    lines = _lines(path, "a time a line", "fetch the file again")
    return np.array([_numbers(path, number, line, 1)[0] for number, line in enumerate(lines, start=1)])


def _lines(path: Path, expected: str, fix: str) -> list[str]:
    try:
        return [line for line in read_text(path).splitlines() if line.strip()]
    except OSError as error:
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=fix) from None
    except UnicodeDecodeError:
        raise DataError.at(path, expected=expected, found="no text in UTF-8", fix=fix) from None


def _numbers(path: Path, line: int, text: str, count: int) -> NDArray[np.float64]:
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError:
        values = np.empty(0)
    if values.shape != (count,) or not (np.abs(values) <= LARGEST).all():
        raise DataError.at(
            path,
            expected=f"{count} finite numbers in line {line}, none above {LARGEST:g}",
            found=f"{text.strip()[:80]!r}",
            fix="fetch it again",
        )
    return values
