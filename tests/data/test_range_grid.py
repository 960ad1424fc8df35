from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cmcr.data.range_grid import RangeGrid, fill_cells


def test_the_grid_of_second() -> None:
    assert RangeGrid().shape == (1408, 1600, 40)


def test_equals_a_slow_loop() -> None:
    grid = RangeGrid(bounds_m=(0, -2, -1, 4, 2, 1), cell_m=(0.5, 0.5, 0.25))
    points = np.random.default_rng(0).uniform([-1, -3, -2, 0], [5, 3, 2, 1], size=(500, 4)).astype(np.float32)
    found = fill_cells(points, grid)
    expected: dict[tuple[int, int, int], list[np.ndarray]] = {}
    for number, (x, y, z, _) in enumerate(points.tolist()):
        cell = (int(np.floor(x / 0.5)), int(np.floor((y + 2) / 0.5)), int(np.floor((z + 1) / 0.25)))
        if 0 <= x < 4 and -2 <= y < 2 and -1 <= z < 1:
            expected.setdefault(cell, []).append(points[number])
            assert tuple(found.coordinates[found.cell_P[number]]) == cell
        else:
            assert found.cell_P[number] == -1
    assert [tuple(row) for row in found.coordinates.tolist()] == sorted(expected)
    for row, features in zip(found.coordinates.tolist(), found.features, strict=True):
        np.testing.assert_allclose(features, np.mean(expected[tuple(row)], axis=0), rtol=1e-5)


def test_no_points_inside() -> None:
    points = np.full((3, 4), 1000, dtype=np.float32)
    found = fill_cells(points, RangeGrid())
    assert found.coordinates.shape == (0, 3)
    assert found.features.shape == (0, 4)
    assert found.cell_P.tolist() == [-1, -1, -1]


def test_refuses_bounds_that_enclose_nothing() -> None:
    with pytest.raises(ValidationError, match="lower bounds"):
        RangeGrid(bounds_m=(0, 0, 0, 1, 0, 1))
