"""Files of points, as every data set stores them: float32 numbers, x, y, z and intensity first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.errors import DataError
from cmcr.reading import read_bytes as _read_bytes
from cmcr.reading import reason_of

#: The way out where a file is not what was indexed.
FRESH = "fetch the file again, or make the index again if the data set was changed on purpose"
#: No LiDAR sees as far, in metres; farther points would overflow what is computed of them.
FARTHEST_M = 1e6


def read_bytes(path: Path, expected: str, limit: int | None = None, way_out: str = FRESH) -> bytes:
    """Return the content of a file, which has at most ``limit`` bytes.

    Raises:
        DataError: it is not there, cannot be read, or is larger; then it is not read.
    """
    try:
        return _read_bytes(path, limit)
    except OSError as error:
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=way_out) from None


def read_points(
    path: Path, num_bytes: int, columns: int, intensity_max: float = 1.0, way_out: str = FRESH
) -> NDArray[np.float32]:
    """Return (P, 4) points of a file of float32 numbers, intensity in [0, 1].

    Args:
        path: the file.
        num_bytes: its size when it was indexed.
        columns: numbers of each point, of which the first four are taken.
        intensity_max: what the highest intensity is stored as.
        way_out: what to do about a file that is not as it should be.

    Raises:
        DataError: the file is missing or has another size, a number is not finite, or an intensity out of range.
    """
    expected = f"a sweep of {num_bytes} bytes, {4 * columns} for each point, as indexed"
    raw = read_bytes(path, expected, num_bytes, way_out)
    if len(raw) != num_bytes or len(raw) % (4 * columns) or not raw:
        raise DataError.at(path, expected=expected, found=f"{len(raw)} bytes", fix=way_out)
    return checked_points(path, np.frombuffer(raw, dtype="<f4").reshape(-1, columns), intensity_max, way_out)


def checked_points(
    path: Path, numbers_PN: NDArray[np.floating], intensity_max: float, way_out: str = FRESH
) -> NDArray[np.float32]:
    """Return (P, 4) points of (P, 4 or more) numbers, intensity in [0, 1].

    Args:
        path: where they come from, for messages.
        numbers_PN: x, y, z in metres, intensity, and what else is stored.
        intensity_max: what the highest intensity is stored as.
        way_out: what to do about points that are not as they should be.

    Raises:
        DataError: a number is not finite, or an intensity out of range.
    """
    points = numbers_PN[:, :4].astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        found = f"{len(bad)} of {len(points)} points with NaN or infinity, the first is point {bad[0]}"
        raise DataError.at(path, expected="finite coordinates and intensities", found=found, fix=way_out)
    farthest = float(np.abs(points[:, :3]).max())
    if farthest > FARTHEST_M:
        expected = f"coordinates of at most {FARTHEST_M:g} m"
        raise DataError.at(path, expected=expected, found=f"{farthest:g} m", fix=way_out)
    low, high = points[:, 3].min(), points[:, 3].max()
    if low < 0 or high > intensity_max:
        expected = f"intensities in [0, {intensity_max:g}]"
        raise DataError.at(path, expected=expected, found=f"{low:g} to {high:g}", fix=way_out)
    if intensity_max != 1:
        points[:, 3] /= intensity_max
    return points
