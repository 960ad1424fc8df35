"""From points to voxels, as MinkowskiEngine's ``sparse_quantize`` does it: floor, first point wins, first come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from cmcr.errors import DataError
from cmcr.options import Options


class VoxelGrid(Options):
    """The cells into which space is cut."""

    kind: Literal["cartesian", "cylindrical"] = "cylindrical"
    """Axes of the cells: x, y, z, or distance from the z axis, azimuth, z (the recipes of the SLidR family)."""
    size_m: PositiveFloat = 0.1
    """Edge of a cell in metres: along x and y, or along the distance from the z axis (SLidR: 0.1)."""
    height_m: PositiveFloat | None = None
    """Edge of a cell along z in metres; null takes ``size_m``."""
    azimuth_deg: PositiveFloat = 1.0
    """Angle that a cylindrical cell spans in degrees (SLidR: 1); without effect on Cartesian cells."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """The V occupied cells of P points, in the order in which the points first touch them.

    Attributes:
        coordinates: (V, 3) int32 cell numbers along the axes of the grid.
        first: (V,) int64 the point that stands for each voxel: its first. Rises.
        inverse: (P,) int64 the voxel of each point.
    """

    coordinates: NDArray[np.int32]
    first: NDArray[np.int64]
    inverse: NDArray[np.int64]


def voxelize(points_P3: NDArray[np.float32], grid: VoxelGrid) -> Voxels:
    """Find the occupied cells of ``grid``.

    Args:
        points_P3: (P, 3) float32 x y z in metres, finite.
        grid: the cells. Cylindrical azimuths are counted from the x axis towards y, in (-180, 180] degrees.

    Raises:
        DataError: the points lie too far apart for cells of this size.
    """
    cells_3P = _cells(points_P3, grid)
    key = _keys(cells_3P)
    # A stable sort brings points of one cell together and leaves each cell's first point in front.
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.ones(len(key), dtype=bool)
    np.not_equal(key[1:], key[:-1], out=starts[1:])
    first_by_key = order[starts]

    is_first = np.zeros(len(key), dtype=bool)
    is_first[first_by_key] = True
    voxel_of_first = np.cumsum(is_first) - 1
    inverse = np.empty(len(key), dtype=np.int64)
    inverse[order] = voxel_of_first[first_by_key][np.cumsum(starts) - 1]
    first = np.flatnonzero(is_first)
    return Voxels(cells_3P[:, first].T.astype(np.int32, order="C"), first, inverse)


def _cells(points_P3: NDArray[np.float32], grid: VoxelGrid) -> NDArray[np.float32]:
    """Return (3, P) whole cell numbers. In float32 throughout, as the released loaders compute them."""
    x, y, z = np.ascontiguousarray(points_P3.T, dtype=np.float32)
    size, height = np.float32(grid.size_m), np.float32(grid.height_m or grid.size_m)
    if grid.kind == "cylindrical":
        azimuth = np.arctan2(y, x) * np.float32(180) / np.float32(np.pi)
        axes = (np.sqrt(x * x + y * y) / size, azimuth / np.float32(grid.azimuth_deg), z / height)
    else:
        axes = (x / size, y / size, z / height)
    return np.floor(np.stack(axes))


def _keys(cells_3P: NDArray[np.float32]) -> NDArray[np.int64]:
    """Give each cell one number."""
    if not cells_3P.size:
        return np.empty(0, dtype=np.int64)
    low, high = cells_3P.min(axis=1).astype(np.float64), cells_3P.max(axis=1).astype(np.float64)
    if not np.abs([low, high]).max() < 2**31 or not np.prod(high - low + 1) < 2**62:
        raise DataError(f"a scan spans cells {low.tolist()} to {high.tolist()}: too many to number; take larger voxels")
    a, b, c = cells_3P.astype(np.int64) - low.astype(np.int64)[:, None]
    _, width, height = (high - low + 1).astype(np.int64)
    return (a * width + b) * height + c
