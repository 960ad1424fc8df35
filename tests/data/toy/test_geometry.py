"""Solids and how patterns lie on them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cmcr.data.toy.geometry import box, ellipsoid, hoop, join, leaves, paint, prism, tube
from cmcr.data.toy.materials import Material

GREY = (0.5, 0.5, 0.5)


def area(triangles: NDArray) -> float:
    sides = triangles[:, 1:] - triangles[:, :1]
    return float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2)


def test_areas_are_those_of_the_solids() -> None:
    assert area(box((0, 1), (0, 2), (0, 3))) == pytest.approx(2 * (2 + 3 + 6), rel=1e-5)
    assert area(tube((0, 0, 0), (3, 0, 4), 0.5, sides=64)) == pytest.approx(np.pi * (2 * 0.25 + 5.0), rel=5e-3)
    assert area(tube((0, 0, 0), (0, 0, 1), 1.0, 0.0, sides=64)) == pytest.approx(np.pi * (1 + np.sqrt(2)), rel=5e-3)
    assert area(ellipsoid((1, 2, 3), (2, 2, 2), 48, 24)) == pytest.approx(16 * np.pi, rel=1e-2)
    # Two flat rings and two bands of 2 pi r times the breadth.
    assert area(hoop((0, 0, 0), 1.0, 0.5, 0.2, 64)) == pytest.approx(np.pi * (2 * 0.75 + 0.2 * 2 * 1.5), rel=5e-3)


def test_a_prism_may_lean_inwards() -> None:
    outline = [(-1.0, 0.0), (1.0, 0.0), (1.0, 2.0), (-1.0, 2.0)]
    corners = prism(outline, [1.0, 1.0, 0.5, 0.5], [-1.0, -1.0, -0.5, -0.5]).reshape(-1, 3)
    assert np.abs(corners[corners[:, 2] == 0, 1]).max() == 1.0
    assert np.abs(corners[corners[:, 2] == 2, 1]).max() == 0.5


def test_walls_are_papered_by_height_and_floors_by_place() -> None:
    mesh = paint(box((0, 1), (0, 2), (0, 3)), Material.BRICK, GREY)
    corners, texture = mesh.corners, mesh.texture
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    wall = normals[:, 2] == 0
    assert wall.sum() == 8
    np.testing.assert_allclose(texture[wall][:, :, 1], corners[wall][:, :, 2])
    np.testing.assert_allclose(texture[~wall], corners[~wall][:, :, :2])
    # Metres stay metres: no side of a triangle is stretched.
    for start, end in ((0, 1), (1, 2), (2, 0)):
        side, print_ = corners[:, start] - corners[:, end], texture[:, start] - texture[:, end]
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), np.linalg.norm(print_, axis=1), rtol=1e-5)


def test_placing_turns_before_it_shifts_and_keeps_the_pattern() -> None:
    mesh = paint(box((0, 2), (-0.5, 0.5), (0, 1)), Material.PAINT, GREY)
    placed = mesh.placed(10, 20, 1, np.pi / 2)
    np.testing.assert_allclose(placed.bounds, [[9.5, 20, 1], [10.5, 22, 2]], atol=1e-5)
    np.testing.assert_array_equal(placed.texture, mesh.texture)
    assert len(join([mesh, placed]).corners) == 24


def test_leaves_stay_around_their_crown() -> None:
    crown = leaves((0, 0, 5), (2, 2, 1), 500, 0.3, np.random.default_rng(0))
    reach = np.linalg.norm((crown.mean(1) - [0, 0, 5]) / [2, 2, 1], axis=1)
    assert crown.shape == (500, 3, 3)
    assert reach.max() < 1.4
    assert np.median(reach) > 0.6
