from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcr.boxes.boxes3d import CORNERS, EDGES, Boxes3D, corners, in_box_frame, join, points_in_box
from cmcr.data.augment import PointAugmentation, augment_points


def random_boxes(number: int, rng: np.random.Generator) -> Boxes3D:
    low, high = [-50, -50, -3, 0.3, 0.3, 0.3, -4], [50, 50, 2, 8, 3, 3, 4]
    velocity = rng.normal(size=(number, 2))
    return Boxes3D(rng.uniform(low, high, size=(number, 7)), rng.integers(1, 4, size=number), velocity)


def test_corners_by_hand() -> None:
    found = corners(np.array([[10, 20, 1, 4, 2, 2, np.pi / 2]]))[0]
    # Heading along y: the front left corner lies at smaller x and larger y.
    np.testing.assert_allclose(found[0], [9, 22, 0], atol=1e-12)
    np.testing.assert_allclose(found[6], [11, 18, 2], atol=1e-12)


def test_edges_join_corners_that_differ_along_one_axis() -> None:
    differing = (CORNERS[EDGES[:, 0]] != CORNERS[EDGES[:, 1]]).sum(axis=1)
    assert differing.tolist() == [1] * 12
    assert len({frozenset(edge) for edge in EDGES.tolist()}) == 12


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_boxes_follow_their_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(4, rng)
    points = np.concatenate([corners(boxes.geometry).reshape(-1, 3), boxes.geometry[:, :3]])
    points = np.column_stack([points, np.ones(len(points))])
    options = PointAugmentation(rotation_deg=180, flip_x=0.5, flip_y=0.5, scale=(0.5, 2.0))
    moved, matrix = augment_points(points.astype(np.float32), options, rng)
    changed = boxes.changed(matrix)
    np.testing.assert_allclose(changed.geometry[:, :3], moved[-4:, :3], atol=1e-3)
    # A mirror exchanges left and right: the same set of corners, in another order.
    expected = moved[:-4, :3].reshape(4, 8, 3)
    for new, old in zip(corners(changed.geometry), expected, strict=True):
        distance = np.linalg.norm(new[:, None] - old, axis=-1)
        assert (distance.min(axis=1) < 1e-3).all()
        np.testing.assert_allclose(new[0, :2] + new[3, :2], old[0, :2] + old[3, :2], atol=1e-3)  # the front stays front
    assert changed.velocity is not None
    assert boxes.velocity is not None
    np.testing.assert_allclose(
        np.linalg.norm(changed.velocity, axis=1),
        np.linalg.norm(boxes.velocity, axis=1) * abs(np.linalg.det(matrix)) ** (1 / 3),
    )


def test_points_in_a_box_by_hand() -> None:
    box = np.array([1, 1, 0, 4, 2, 2, np.pi / 4])
    along = np.array([1, 1, 0]) / np.sqrt(2)
    points = np.array([1, 1, 0]) + np.array([0.0, 1.99, 2.01])[:, None] * along
    assert points_in_box(points, box).tolist() == [True, True, False]
    np.testing.assert_allclose(in_box_frame(points, box)[:, 0], [0, 1.99, 2.01])
    assert points_in_box(np.array([[1, 1, 1.0], [1, 1, 1.01]]), box).tolist() == [True, False]


def test_select_and_join() -> None:
    boxes = random_boxes(5, np.random.default_rng(0))
    again = join([boxes.select(np.array([0, 1])), boxes.select(np.arange(5) > 1)])
    assert np.array_equal(again.geometry, boxes.geometry)
    assert again.velocity is not None
    without = Boxes3D(boxes.geometry, boxes.classes)
    assert join([boxes, without]).velocity is None
    assert len(join([boxes, without])) == 10


def test_numbers_of_points_stay_with_their_boxes() -> None:
    boxes = dataclasses.replace(random_boxes(4, np.random.default_rng(0)), num_points=np.array([3, 0, 1, 0]))
    turned = boxes.changed(np.diag([1.0, -1.0, 1.0]))
    assert turned.num_points is not None
    assert turned.num_points.tolist() == [3, 0, 1, 0]
    kept = turned.with_points()
    np.testing.assert_array_equal(kept.geometry, turned.geometry[[0, 2]])
    again = join([kept, boxes.select(np.array([1]))])
    assert again.num_points is not None
    assert again.num_points.tolist() == [3, 1, 0]
    uncounted = random_boxes(2, np.random.default_rng(1))
    assert uncounted.with_points() is uncounted
    assert join([boxes, uncounted]).num_points is None


def test_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="expected"):
        Boxes3D(np.zeros((3, 6)), np.zeros(3, dtype=np.int64))
    with pytest.raises(ValueError, match="velocities"):
        Boxes3D(np.zeros((3, 7)), np.zeros(3, dtype=np.int64), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="numbers of points"):
        Boxes3D(np.zeros((3, 7)), np.zeros(3, dtype=np.int64), None, np.zeros(2, dtype=np.int64))
