"""Whether what a calibration calls a rotation is one: a damaged digit turns a pose into something that bends space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.errors import DataError

#: How far products of axes may be from those of a rotation. Chosen here so that three printed digits are enough; a real
#: frame of KITTI is off by 1e-7, one of nuScenes by 1e-15.
TOLERANCE = 5e-3


def is_rotation(matrix_33: NDArray[np.float64]) -> bool:
    """Whether the axes of a (3, 3) matrix are of length one, upright on each other, and not mirrored."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(matrix_33 @ matrix_33.T - np.eye(3)).max()
    return bool(apart <= TOLERANCE) and float(np.linalg.det(matrix_33)) > 0


def check_rotation(path: Path | str, name: str, matrix_33: NDArray[np.float64]) -> None:
    """Refuse a (3, 3) matrix that is no rotation.

    Args:
        path: where it comes from, for the message.
        name: what it is called there.
        matrix_33: the matrix.

    Raises:
        DataError: see `is_rotation`.
    """
    if not is_rotation(matrix_33):
        rows = "; ".join(" ".join(f"{number:g}" for number in row) for row in matrix_33.tolist())
        raise DataError.at(path, expected=f"a rotation in {name}", found=rows, fix="fetch the file again")
