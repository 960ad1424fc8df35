from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cmcr.data.geometry import (
    MAX_DISTANCE_M,
    MAX_SLOPE,
    OTHER_SURFACE_M,
    distance_to_other_surface,
    height_above_ground,
    local_geometry,
    surface_normals,
)


def grid(size: float = 6.0, step: float = 0.25) -> NDArray[np.float64]:
    """(P, 2) a square of points around the origin."""
    side = np.arange(-size / 2, size / 2 + step / 2, step)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def everyone(points: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.arange(len(points))


@pytest.mark.parametrize("normal", [(0, 0, 1), (1, 0, 0), (1, 2, 3), (-2, 1, 0.5)])
@pytest.mark.parametrize("side", [1, -1])
def test_normals_of_a_plane_look_at_the_sensor(normal: tuple[float, ...], side: int) -> None:
    unit = np.array(normal, dtype=np.float64) / np.linalg.norm(normal)
    across = np.linalg.svd(unit[None])[2][1:]
    # The sensor, at 0, is 2 m off the plane, on this side or the other.
    points = grid() @ across + 2.0 * side * unit
    found = surface_normals(points, everyone(points))
    np.testing.assert_allclose(found, np.broadcast_to(-side * unit, found.shape), atol=1e-9)


def test_normals_of_a_sphere_around_the_sensor_look_at_its_centre() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3))
    points *= 5 / np.linalg.norm(points, axis=1, keepdims=True)
    found = surface_normals(points, np.arange(500))
    assert not np.isnan(found).any()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert ((found * -points[:500] / 5).sum(axis=1) > 0.995).all()


def test_normals_withstand_the_noise_of_a_sensor() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([grid(), np.full(len(grid()), -1.8)])
    found = surface_normals(points + 0.02 * rng.normal(size=points.shape), everyone(points))
    assert (np.nan_to_num(found[:, 2]) > 0.95).mean() > 0.95


def test_a_line_and_a_cloud_have_no_normal() -> None:
    rng = np.random.default_rng(0)
    line = np.column_stack([np.arange(50.0), np.zeros(50), np.zeros(50)])
    assert np.isnan(surface_normals(line, everyone(line))).all()
    cloud = rng.normal(size=(3000, 3))
    assert np.isnan(surface_normals(cloud, everyone(cloud))).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("points", [1, 2, 5])
def test_a_scan_of_few_points_is_no_error(points: int) -> None:
    found = local_geometry(np.zeros((points, 3), dtype=np.float32), np.arange(points))
    assert np.isnan(found.normal_N3).all()
    assert np.isnan(found.distance_N).all()
    assert (found.height_N == 0).all()


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.2])
def test_height_on_a_slope_is_that_above_the_slope(slope: float) -> None:
    ground = np.column_stack([grid(20), slope * grid(20)[:, 0] - 1.8])
    above = ground[::40] + np.array([0, 0, 2.5])
    points = np.concatenate([ground, above])
    height = height_above_ground(points, everyone(points))
    # Within a cell the lowest point is at most its diagonal away.
    tolerance = (MAX_SLOPE + abs(slope)) * np.sqrt(2) + 1e-9
    assert height[: len(ground)].max() <= tolerance
    np.testing.assert_allclose(height[len(ground) :], 2.5, atol=tolerance)
    # On the whole it is much closer than that.
    assert np.abs(height[len(ground) :] - 2.5).mean() < 0.2


def test_height_equals_its_equation() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-5, 5, size=(300, 3))
    cells = [tuple(cell) for cell in np.floor(points[:, :2]).astype(int)]
    lowest = {
        cell: min((p for p, c in zip(points, cells, strict=True) if c == cell), key=lambda p: p[2]) for cell in cells
    }
    chosen = np.array([5, 17, 200])
    expected = [
        max(0, points[i, 2] - min(c[2] + MAX_SLOPE * np.hypot(*(points[i] - c)[:2]) for c in lowest.values()))
        for i in chosen
    ]
    np.testing.assert_allclose(height_above_ground(points, chosen), expected)


def test_ground_is_carried_in_under_a_roof() -> None:
    flat = grid(20, 0.5)
    under = (np.abs(flat) < 2).all(axis=1)
    ground = np.column_stack([flat[~under], np.full((~under).sum(), -1.8)])
    roof = np.column_stack([flat[under], np.full(under.sum(), 2.2)])
    height = height_above_ground(np.concatenate([ground, roof]), np.arange(len(ground), len(ground) + len(roof)))
    assert ((height > 4 - MAX_SLOPE * 2.5) & (height <= 4)).all()


def test_distance_to_a_wall_and_to_nothing() -> None:
    floor = np.column_stack([grid(12), np.full(len(grid(12)), -1.8)])
    wall = np.array([[6.0, y, z] for y in np.arange(-6, 6.1, 0.25) for z in np.arange(-1.75, 2, 0.1)])
    points = np.concatenate([floor, wall])
    up = np.tile([0.0, 0, 1], (len(floor), 1))
    distance = distance_to_other_surface(points, everyone(floor), up)
    to_wall = 6 - floor[:, 0]
    # The lowest part of the wall, up to 0.3 m, is still within the threshold of the floor's plane.
    step = OTHER_SURFACE_M + 0.05
    expected = np.minimum(np.hypot(to_wall, step), MAX_DISTANCE_M)
    np.testing.assert_allclose(distance, expected, atol=0.05)
    assert (distance[to_wall > MAX_DISTANCE_M] == MAX_DISTANCE_M).all()


def test_distance_equals_a_loop_over_all_points() -> None:
    rng = np.random.default_rng(2)
    points, chosen = rng.uniform(-2, 2, size=(200, 3)), np.array([3, 50, 60])
    normals = rng.normal(size=(3, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    expected = []
    for i, normal in zip(chosen, normals, strict=True):
        others = [np.linalg.norm(p - points[i]) for p in points if abs((p - points[i]) @ normal) > OTHER_SURFACE_M]
        expected.append(min([MAX_DISTANCE_M, *others]))
    np.testing.assert_allclose(distance_to_other_surface(points, chosen, normals), expected)


def test_distance_needs_a_normal() -> None:
    points = np.zeros((4, 3))
    assert np.isnan(distance_to_other_surface(points, everyone(points), np.full((4, 3), np.nan))).all()
