"""The bounded grid of a detector: which cell of it each point lies in, and what the cells hold.

Shapes: P points, V occupied cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, PositiveFloat

from cmcr.options import Options


def _opposite(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in zip(bounds[:3], bounds[3:], strict=True)):
        raise ValueError(f"the lower bounds {bounds[:3]} do not all lie below the upper ones {bounds[3:]}")
    return bounds


Bounds = Annotated[tuple[float, float, float, float, float, float], AfterValidator(_opposite)]


class RangeGrid(Options):
    """Bounds and cells; the defaults are SECOND's on KITTI (OpenPCDet@8caccce, tools/cfgs/kitti_models/second.yaml)."""

    kind: Literal["bounded"] = "bounded"
    """Tells these cells from those of `VoxelGrid`, which has no bounds."""
    bounds_m: Bounds = (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)
    """Lowest x, y, z and highest x, y, z in metres in the LiDAR frame; points outside are not looked at."""
    cell_m: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.05, 0.05, 0.1)
    """Length of a cell along x, y and z in metres."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along x, y and z."""
        low, high = self.bounds_m[:3], self.bounds_m[3:]
        x, y, z = (round((b - a) / c) for a, b, c in zip(low, high, self.cell_m, strict=True))
        return x, y, z


@dataclass(frozen=True, eq=False)
class Cells:
    """The occupied cells of one scan, by rising x, then y, then z.

    Attributes:
        coordinates: (V, 3) int32 cell numbers along x, y and z.
        features: (V, 4) float32 mean x, y, z and intensity of a cell's points.
        cell_P: (P,) int64 the cell of each point, -1 outside the bounds.
    """

    coordinates: NDArray[np.int32]
    features: NDArray[np.float32]
    cell_P: NDArray[np.int64]


def fill_cells(points_P4: NDArray[np.float32], grid: RangeGrid) -> Cells:
    """Gather points into cells.

    A cell's features are the mean over all of its points, where SECOND takes at most five of them, in the order of the
    sweep, so that its buffers have a fixed size.
    """
    low = np.array(grid.bounds_m[:3], dtype=np.float32)
    place_P3 = np.floor((points_P4[:, :3] - low) / np.array(grid.cell_m, dtype=np.float32)).astype(np.int64)
    inside_P = ((place_P3 >= 0) & (place_P3 < grid.shape)).all(axis=1)
    key = np.ravel_multi_index(tuple(place_P3[inside_P].T), grid.shape)
    occupied, cell = np.unique(key, return_inverse=True)
    # Summed in float64: intensities in the tenth thousandth part of a coordinate would lose digits.
    total = [np.bincount(cell, weights=column, minlength=len(occupied)) for column in points_P4[inside_P].T]
    count = np.bincount(cell, minlength=len(occupied))
    cell_P = np.full(len(points_P4), -1, dtype=np.int64)
    cell_P[inside_P] = cell
    return Cells(
        np.column_stack(np.unravel_index(occupied, grid.shape)).astype(np.int32),
        (np.column_stack(total) / count[:, None]).astype(np.float32),
        cell_P,
    )


def join_cells(scans: Sequence[Cells]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the (V, 4) features and the (V, 4) scan, x, y, z of the cells of several scans, in order."""
    coordinates = [np.pad(cells.coordinates, ((0, 0), (1, 0)), constant_values=n) for n, cells in enumerate(scans)]
    return np.concatenate([cells.features for cells in scans]), np.concatenate(coordinates)
