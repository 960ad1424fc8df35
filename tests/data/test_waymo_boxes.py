"""Boxes of a converted Waymo frame: from the vehicle's frame to the LiDAR's, and what counts at which level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.waymo_boxes import WaymoBoxes

#: The LiDAR 2 m above the vehicle's origin and 1 m ahead, turned by a quarter to the left.
POSE = np.array([[0, -1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1.0]])


def box(**changes: Any) -> dict[str, Any]:
    whole = {
        "type": 1,
        "difficulty": 0,
        "num_lidar_points": 9,
        "centre": [5, 3, 1],
        "size": [4, 2, 1.5],
        "heading": 0.25,
    }
    return {**whole, "heading": 0.25, **changes}


def test_a_box_is_seen_from_the_lidar() -> None:
    found = WaymoBoxes.of_frame({"boxes": [box()], "no_label_zones": [[[1, 0], [2, 0], [2, 5]]]}, POSE)
    # 4 m ahead and 3 m to the left of the LiDAR's place; its x axis points to the vehicle's left.
    np.testing.assert_allclose(found.geometry, [[3, -4, -1, 4, 2, 1.5, 0.25 - np.pi / 2]], atol=1e-12)
    np.testing.assert_allclose(found.zones[0], [[0, 0], [0, -1], [5, -1]], atol=1e-12)


def test_signs_and_unknown_things_are_boxes_of_no_class() -> None:
    boxes = WaymoBoxes.of_frame({"boxes": [box(type=number) for number in range(5)]}, np.eye(4)).as_boxes()
    assert boxes.classes.tolist() == [0, 1, 2, 0, 3]
    assert boxes.num_points is not None
    assert boxes.num_points.tolist() == [9] * 5


def test_few_returns_or_a_hard_label_make_level_2_and_none_makes_none() -> None:
    cases = [(0, 0), (2, 0), (0, 5), (1, 5), (0, 6), (1, 6), (2, 6)]
    boxes = [box(difficulty=difficulty, num_lidar_points=points) for difficulty, points in cases]
    assert WaymoBoxes.of_frame({"boxes": boxes}, np.eye(4)).levels.tolist() == [0, 0, 2, 2, 1, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 999), st.floats(-80, 80)), max_size=4))
def test_text_and_back(rows: list[tuple[int, int, int, float]]) -> None:
    boxes = [box(type=t, difficulty=d, num_lidar_points=n, centre=[x, -x, 0]) for t, d, n, x in rows]
    found = WaymoBoxes.of_frame({"boxes": boxes, "no_label_zones": [[[0, 0], [1, 0], [1, 1.5]]]}, POSE)
    again = WaymoBoxes.from_text(found.to_text())
    assert again.types.tolist() == found.types.tolist()
    assert again.levels.tolist() == found.levels.tolist()
    np.testing.assert_allclose(again.geometry, found.geometry, atol=1e-4)
    np.testing.assert_allclose(again.zones[0], found.zones[0], atol=1e-4)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"boxes": 3},
        {"boxes": [{}]},
        {"boxes": [box(type=5)]},
        {"boxes": [box(type=1.5)]},
        {"boxes": [box(num_lidar_points=-1)]},
        {"boxes": [box(centre=[1, 2])]},
        {"boxes": [box(centre=[1, 2, float("nan")])]},
        {"boxes": [box(centre=[10**400, 2, 3])]},
        {"boxes": [box(size=[4, 0, 1])]},
        {"boxes": [box(), box(heading="east")]},
        {"boxes": [], "no_label_zones": [[[1, 2], [3, 4]]]},
        {"boxes": [], "no_label_zones": [[[1, 2], [3, 4], [5]]]},
    ],
)
def test_what_is_no_box_is_refused(frame: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, OverflowError)):
        WaymoBoxes.of_frame(frame, np.eye(4))
