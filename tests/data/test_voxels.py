"""Voxels equal MinkowskiEngine's, and a slow loop's for every grid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.voxels import VoxelGrid, voxelize
from cmcr.errors import DataError

CARTESIAN, CYLINDRICAL = VoxelGrid(kind="cartesian"), VoxelGrid(kind="cylindrical")


def test_equal_to_minkowski_engine(shared: Path):
    fixture = np.load(shared / "fixtures" / "minkowski_quantize.npz")
    voxels = voxelize(fixture["points"], CARTESIAN)
    np.testing.assert_array_equal(voxels.first, fixture["index"])
    np.testing.assert_array_equal(voxels.coordinates, fixture["coordinates"])
    np.testing.assert_array_equal(voxels.inverse, fixture["inverse"])


def slow(cells: list[tuple[int, ...]]) -> tuple[list, list, list]:
    """Number the cells in the order in which they appear."""
    coordinates: list[tuple[int, ...]] = []
    first, inverse = [], []
    for point, cell in enumerate(cells):
        if cell not in coordinates:
            coordinates.append(cell)
            first.append(point)
        inverse.append(coordinates.index(cell))
    return coordinates, first, inverse


@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["cartesian", "cylindrical"]),
    size=st.sampled_from([0.5, 1.0, 2.0]),
    height=st.sampled_from([None, 0.25, 3.0]),
    azimuth=st.sampled_from([1.0, 7.5, 45.0]),
)
def test_equal_to_a_slow_loop(seed, kind, size, height, azimuth):
    points = np.random.default_rng(seed).uniform(-4, 4, (150, 3)).astype(np.float32)
    cells, safe = [], []
    for x, y, z in points.astype(np.float64):
        axes = [x / size, y / size, z / (height or size)]
        if kind == "cylindrical":
            axes[:2] = math.hypot(x, y) / size, math.degrees(math.atan2(y, x)) / azimuth
        cells.append(tuple(math.floor(value) for value in axes))
        safe.append(all(abs(value - round(value)) > 1e-4 for value in axes))  # float32 may round across a face
    points, cells = points[safe], [cell for cell, keep in zip(cells, safe, strict=True) if keep]
    coordinates, first, inverse = slow(cells)
    voxels = voxelize(points, VoxelGrid(kind=kind, size_m=size, height_m=height, azimuth_deg=azimuth))
    assert [tuple(row) for row in voxels.coordinates] == coordinates
    assert voxels.first.tolist() == first
    assert voxels.inverse.tolist() == inverse


def test_cylindrical_cells_by_hand():
    points = np.array([[3, 4, -0.05], [0, -2, 0.05], [-1, 0, 0.31], [3.001, 4.001, -0.01]], dtype=np.float32)
    voxels = voxelize(points, CYLINDRICAL)
    # At distance 5 (on the face between cells, so 50), azimuth 53.13 degrees, below the sensor; and so on.
    assert voxels.coordinates.tolist() == [[50, 53, -1], [20, -90, 0], [10, 180, 3]]
    assert voxels.inverse.tolist() == [0, 1, 2, 0]
    assert voxels.coordinates.dtype == np.int32


def test_no_points_give_no_voxels():
    voxels = voxelize(np.empty((0, 3), dtype=np.float32), CYLINDRICAL)
    assert voxels.coordinates.shape == (0, 3)
    assert len(voxels.first) == len(voxels.inverse) == 0


@pytest.mark.parametrize("far", [1e10, 3e8, np.inf, np.nan])
def test_points_too_far_apart_are_refused(far):
    with pytest.raises(DataError, match="larger voxels"):
        voxelize(np.array([[0, 0, 0], [far, 1, 1]], dtype=np.float32), CARTESIAN)


def test_a_crowd_of_cells_is_numbered_without_collision():
    points = np.array([[x, y, z] for x in (-1e5, 0, 1e5) for y in (-1e5, 1e5) for z in (-1e3, 1e3)], dtype=np.float32)
    assert len(voxelize(points, CARTESIAN).coordinates) == 12
