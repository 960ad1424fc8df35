"""Pairs equal the published ones on a real keyframe, and those of the projection's equation for moving sensors."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from cmcr.data.nuscenes_index import make_index
from cmcr.data.nuscenes_names import CAMERAS
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera


def test_equal_to_the_published_pairs_on_a_real_keyframe(shared: Path):
    expected = np.load(shared / "fixtures" / "nuscenes_pairing.npz")
    index = make_index("nuscenes", shared / "real" / "nuscenes", "v1.0-mini", "mini_train")
    scan = index.read(0)
    assert scan.scene == "scene-0061"
    assert [camera.name for camera in scan.cameras] == list(CAMERAS) == expected["cameras"].tolist()
    assert len(scan.points) == expected["num_points"]
    pairs = pair_points_with_pixels(scan.points, scan.cameras, float(expected["min_depth"]))
    np.testing.assert_array_equal(pairs.point, expected["pairing_points"])
    np.testing.assert_array_equal(np.stack([pairs.camera, pairs.row, pairs.column], 1), expected["pairing_images"])


def pose(rng: np.random.Generator, spread_m: float) -> np.ndarray:
    """A random rotation and translation."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, rng.uniform(-spread_m, spread_m, 3)
    return matrix


def camera(world_from_lidar, world_from_camera, size=(60, 90), focal=40.0) -> Camera:
    """A camera whose optical axis meets the image's middle, at (width / 2, height / 2)."""
    up, down = np.eye(4), np.eye(4)
    for matrix in world_from_lidar:
        up = matrix @ up
    for matrix in world_from_camera:
        down = matrix @ down
    intrinsics = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
    return Camera("c", Path("c.jpg"), size, intrinsics, np.linalg.inv(down) @ up, world_from_lidar, world_from_camera)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_equation_when_the_vehicle_moves_between_sensors(seed):
    """Pixel = K (T_camera^-1 T_vehicle(t_image)^-1 T_vehicle(t_sweep) T_lidar p), point by point in float64."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-10, 10, (400, 4)).astype(np.float32)
    sweep = (pose(rng, 1), pose(rng, 5))
    cameras = []
    for _ in range(3):
        # The vehicle has moved and turned a little since the sweep.
        drift = np.eye(4)
        drift[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
        drift[:3, 3] = rng.uniform(-1, 1, 3)
        cameras.append(camera(sweep, (pose(rng, 1), sweep[1] @ drift)))
    expected, doubtful = set(), set()
    for number, seen_by in enumerate(cameras):
        t_camera, t_image = seen_by.world_from_camera
        for index, point in enumerate(points.astype(np.float64)):
            world = sweep[1] @ sweep[0] @ [*point[:3], 1.0]
            x, y, z = (np.linalg.inv(t_camera) @ np.linalg.inv(t_image) @ world)[:3]
            u, v = 40 * x / z + 45, 40 * y / z + 30
            if z > 1 and 0 < u < 89 and 0 < v < 59:
                expected.add((index, number, round(v), round(u)))
            # Within the rounding of float32 of an edge, either answer is right.
            edges = [z - 1, u - 89, v - 59, u - np.floor(u) - 0.5, v - np.floor(v) - 0.5, u, v]
            if np.abs(edges).min() < 1e-3:
                doubtful.add((index, number))
    pairs = pair_points_with_pixels(points, cameras)
    found = set(
        zip(pairs.point.tolist(), pairs.camera.tolist(), pairs.row.tolist(), pairs.column.tolist(), strict=True)
    )
    assert len(expected) > 50
    assert all(pair[:2] in doubtful for pair in found ^ expected)


def test_the_walk_through_the_world_is_rounded_after_every_step():
    rng = np.random.default_rng(2)
    points = rng.uniform(-10, 10, (300, 3)).astype(np.float32)
    # Cameras near the vehicle, which is far from the world's origin; a pixel is narrower than what is rounded away.
    vehicle = pose(rng, 1000)
    seen_by = camera((pose(rng, 1), vehicle), (pose(rng, 1), vehicle), size=(6_000_000, 9_000_000), focal=4e6)
    expected = []
    for index, place in enumerate(points):
        for matrix in seen_by.world_from_lidar:
            turned = np.float32(matrix[:3, :3] @ place.astype(np.float64))
            place = turned + np.float32(matrix[:3, 3])
        for matrix in reversed(seen_by.world_from_camera):
            moved = place - np.float32(matrix[:3, 3])
            place = np.float32(matrix[:3, :3].T @ moved.astype(np.float64))
        x, y, z = place.astype(np.float64)
        u, v = 4e6 * x / z + 4.5e6, 4e6 * y / z + 3e6
        if place[2] > 1 and 0 < u < 8_999_999 and 0 < v < 5_999_999:
            expected.append((index, round(v), round(u)))
    assert len(expected) > 20
    pairs = pair_points_with_pixels(points, [seen_by])
    assert list(zip(pairs.point.tolist(), pairs.row.tolist(), pairs.column.tolist(), strict=True)) == expected


def test_one_matrix_gives_the_same_pairs_as_the_walk_through_the_world():
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, (500, 3)).astype(np.float32)
    walked = camera((pose(rng, 1), pose(rng, 1)), (pose(rng, 1), pose(rng, 1)))
    direct = Camera("c", walked.image_path, walked.size, walked.intrinsics, walked.camera_from_lidar)
    first, second = pair_points_with_pixels(points, [walked]), pair_points_with_pixels(points, [direct])
    assert len(first) > 20
    np.testing.assert_array_equal(first.point, second.point)
    np.testing.assert_array_equal([first.row, first.column], [second.row, second.column])


def test_edges_of_the_image_and_depth_by_hand():
    straight = camera((), (), size=(60, 90), focal=1.0)
    at_depth_2 = [
        ([0, 0], (30, 45)),
        ([2 * (2.5 - 45), 0], (30, 2)),  # u = 2.5 and 3.5: halves go to the even pixel
        ([2 * (3.5 - 45), 0], (30, 4)),
        ([2 * (0.0 - 45), 0], None),  # u = 0 and 89 lie on the edge, and outside
        ([2 * (89 - 45), 0], None),
        ([2 * (88.75 - 45), 0], (30, 89)),
        ([0, 2 * (59 - 30)], None),
        ([0, 2 * (0.0 - 30)], None),  # and so do v = 59 and v = 0
        ([0, 2 * (0.25 - 30)], (0, 45)),
    ]
    points = [[x, y, 2.0] for (x, y), _ in at_depth_2] + [[0, 0, 1.0], [0, 0, 1.001], [0, 0, -2.0], [0, 0, 0.0]]
    expected = [(index, *pixel) for index, (_, pixel) in enumerate(at_depth_2) if pixel]
    expected.append((len(at_depth_2) + 1, 30, 45))  # a depth of 1 m is not more than 1 m
    pairs = pair_points_with_pixels(np.array(points, dtype=np.float32), [straight])
    assert list(zip(pairs.point.tolist(), pairs.row.tolist(), pairs.column.tolist(), strict=True)) == expected


def test_without_cameras_or_points_there_are_no_pairs():
    points = np.zeros((3, 4), dtype=np.float32)
    assert len(pair_points_with_pixels(points, [])) == 0
    assert len(pair_points_with_pixels(points[:0], [camera((), ())])) == 0


def test_a_point_may_be_seen_twice():
    twice = pair_points_with_pixels(np.array([[0, 0, 5]], dtype=np.float32), [camera((), ()), camera((), ())])
    assert twice.point.tolist() == [0, 0]
    assert twice.camera.tolist() == [0, 1]
    assert twice.select(twice.camera == 1).camera.tolist() == [1]


def through_a_lens(distortion: list[float], size=(60, 90), focal=40.0) -> Camera:
    straight = camera((), (), size, focal)
    return dataclasses.replace(straight, distortion=np.array(distortion))


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_browns_equation_behind_a_lens(seed):
    rng = np.random.default_rng(seed)
    k1, k2, p1, p2, k3 = -0.21, 0.13, 0.012, -0.017, 0.05
    points = rng.uniform([-8, -6, -2], [8, 6, 10], (600, 3)).astype(np.float32)
    expected, doubtful = {}, set()
    for index, (x, y, z) in enumerate(points.astype(np.float64)):
        if z <= 1:
            continue
        x, y = x / z, y / z
        r = math.hypot(x, y)
        radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
        u = 40 * (x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)) + 45
        v = 40 * (y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y) + 30
        if abs(radial - 1) <= 0.2 and 0 < u < 89 and 0 < v < 59:
            expected[index] = (round(v), round(u))
        if min(abs(abs(radial - 1) - 0.2), abs((u % 1) - 0.5), abs((v % 1) - 0.5), abs(u), abs(v)) < 1e-3:
            doubtful.add(index)
    pairs = pair_points_with_pixels(points, [through_a_lens([k1, k2, p1, p2, k3])])
    found = dict(zip(pairs.point.tolist(), zip(pairs.row.tolist(), pairs.column.tolist(), strict=True), strict=True))
    assert len(expected) > 100
    assert {index: found.get(index) for index in expected.keys() - doubtful} == {
        index: expected[index] for index in expected.keys() - doubtful
    }
    assert found.keys() - doubtful <= expected.keys()


@pytest.mark.parametrize("k1", [0.2, -0.2])
def test_where_the_lens_was_never_fitted_nothing_is_seen(k1):
    # At one focal length from the centre a lens of k1 moves a point by this share of its distance: 0.2 is the most.
    seen_by = through_a_lens([k1, 0, 0, 0, 0], size=(600, 900), focal=100.0)
    points = np.array([[2, 0, 2], [2.02, 0, 2], [0, 2, 2], [0, 2.02, 2]], dtype=np.float32)
    pairs = pair_points_with_pixels(points, [seen_by])
    away = round(100 * (1 + k1))
    assert pairs.point.tolist() == [0, 2]
    assert pairs.column.tolist() == [450 + away, 450]
    assert pairs.row.tolist() == [300, 300 + away]


def test_pairs_are_integers_and_points_are_taken_as_float32():
    rng = np.random.default_rng(1)
    points = rng.uniform(-10, 10, (2000, 3))
    # A pixel is so narrow here that many points would change theirs without the rounding.
    fine = {"size": (6_000_000, 9_000_000), "focal": 4e6}
    walked = camera((pose(rng, 1), pose(rng, 1000)), (pose(rng, 1), pose(rng, 1000)), **fine)
    direct = Camera("c", walked.image_path, walked.size, walked.intrinsics, np.eye(4))
    for cameras in ([], [walked], [direct]):
        double, single = (pair_points_with_pixels(points.astype(kind), cameras) for kind in (np.float64, np.float32))
        for field in dataclasses.fields(double):
            assert getattr(double, field.name).dtype == np.int64
            np.testing.assert_array_equal(getattr(double, field.name), getattr(single, field.name))
