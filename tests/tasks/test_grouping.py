from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from cmcr.tasks.grouping import find_peaks, group_points

#: Classes: ignored, two things, stuff.
THINGS = np.array([False, True, True, False])


def heat_with(side: int, **cells: float) -> NDArray[np.float32]:
    """A heatmap with some cells, written r3c4, above zero."""
    heat = np.zeros((side, side), dtype=np.float32)
    for cell, value in cells.items():
        row, column = cell.removeprefix("r").split("c")
        heat[int(row), int(column)] = value
    return heat


def test_the_hottest_cell_of_each_window_is_a_peak_and_the_hottest_comes_first() -> None:
    heat = heat_with(9, r1c1=0.6, r1c2=0.5, r5c5=0.9, r5c7=0.8, r8c8=0.05)
    assert find_peaks(heat, 0.1, 3, 10).tolist() == [5 * 9 + 5, 5 * 9 + 7, 1 * 9 + 1]
    assert find_peaks(heat, 0.1, 5, 10).tolist() == [5 * 9 + 5, 1 * 9 + 1]
    assert find_peaks(heat, 0.1, 3, 2).tolist() == [5 * 9 + 5, 5 * 9 + 7]
    assert find_peaks(heat, 0.9, 3, 10).tolist() == []


def test_a_plateau_has_one_peak_in_a_window() -> None:
    assert find_peaks(heat_with(5, r2c1=1, r2c2=1, r3c2=1), 0.1, 3, 10).tolist() == [2 * 5 + 1]
    # A cold map that lies just above the threshold does not give a peak in each of its cells.
    assert len(find_peaks(np.full((20, 20), 0.2, dtype=np.float32), 0.1, 5, 500)) == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), side=st.integers(1, 20), kernel=st.sampled_from([1, 3, 5]))
def test_peaks_are_what_max_pooling_keeps_where_no_two_cells_are_alike(seed: int, side: int, kernel: int) -> None:
    heat = np.random.default_rng(seed).permutation(side * side).reshape(side, side).astype(np.float32) / side**2
    pooled = maximum_filter(heat, size=kernel, mode="constant", cval=0)
    expected = np.flatnonzero((heat == pooled) & (heat > 0.3))
    found = find_peaks(heat, 0.3, kernel, side * side)
    assert sorted(found) == expected.tolist()
    assert (np.diff(heat.ravel()[found]) < 0).all()


def test_points_go_to_the_nearest_centre_and_instances_to_their_commonest_class() -> None:
    centres = np.array([[0.0, 0], [50, 50], [10, 0]])
    votes = np.array([[1.0, 0], [0, 1], [0, 0], [9, 0], [11, 0], [10, 0], [0, 0], [20, 0]])
    classes = np.array([1, 1, 2, 2, 1, 2, 3, 1])
    found, instances = group_points(classes, votes, centres, THINGS, reach_m=5)
    assert instances.tolist() == [1, 1, 1, 2, 2, 2, 0, 0]  # the second centre has no point, the last point no centre
    assert found.tolist() == [1, 1, 1, 2, 2, 2, 3, 1]
    assert classes.tolist() == [1, 1, 2, 2, 1, 2, 3, 1]


def test_of_two_classes_with_equally_many_points_the_first_wins() -> None:
    classes, _ = group_points(np.array([2, 1]), np.zeros((2, 2)), np.zeros((1, 2)), THINGS, 1.0)
    assert classes.tolist() == [1, 1]


@pytest.mark.parametrize("centres", [np.empty((0, 2)), np.zeros((1, 2))])
def test_scans_without_things_and_things_without_centres(centres: NDArray[np.float64]) -> None:
    stuff = np.full(5, 3)
    classes, instances = group_points(stuff, np.zeros((5, 2)), centres, THINGS, 1.0)
    assert classes.tolist() == [3] * 5
    assert instances.tolist() == [0] * 5
    if not len(centres):
        classes, instances = group_points(np.array([1, 2, 3]), np.zeros((3, 2)), centres, THINGS, 1.0)
        assert (classes.tolist(), instances.tolist()) == ([1, 2, 3], [0, 0, 0])
    empty = group_points(np.empty(0, dtype=np.int64), np.empty((0, 2)), centres, THINGS, 1.0)
    assert [len(part) for part in empty] == [0, 0]


def test_one_point_per_instance_and_65_535_instances() -> None:
    side = 256
    row, column = np.divmod(np.arange(65_535), side)
    centres = np.column_stack([column, row]) * 0.5
    order = np.random.default_rng(0).permutation(len(centres))
    classes, instances = group_points(np.ones(len(centres), dtype=np.int64), centres[order] + 0.1, centres, THINGS, 3.0)
    assert instances.tolist() == (order + 1).tolist()
    assert (classes == 1).all()


def test_touching_instances_are_told_apart_by_their_votes() -> None:
    """Two boxes of points side by side: position says nothing at the seam, the offsets do."""
    rng = np.random.default_rng(0)
    left, right = rng.uniform([-2, 0], [0, 4], (300, 2)), rng.uniform([0, 0], [2, 4], (300, 2))
    true = np.repeat([[-1.0, 2], [1, 2]], 300, axis=0)
    votes = true + rng.normal(0, 0.3, (600, 2))
    _, instances = group_points(np.ones(600, dtype=np.int64), votes, np.array([[-1.0, 2], [1, 2]]), THINGS, 3.0)
    assert (instances == np.repeat([1, 2], 300)).mean() > 0.99
    _, by_place = group_points(np.ones(600, dtype=np.int64), np.vstack([left, right]), true[[0, 300]], THINGS, 3.0)
    assert (by_place == np.repeat([1, 2], 300)).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), points=st.integers(0, 40), centres=st.integers(0, 6))
def test_equal_to_a_slow_loop(seed: int, points: int, centres: int) -> None:
    rng = np.random.default_rng(seed)
    class_P, vote_P2, centre_N2 = (
        rng.integers(1, 4, points),
        rng.normal(0, 2, (points, 2)),
        rng.normal(0, 2, (centres, 2)),
    )
    members: list[list[int]] = [[] for _ in range(centres)]
    for point in range(points):
        distances = [float(np.hypot(*(vote_P2[point] - centre))) for centre in centre_N2]
        if THINGS[class_P[point]] and distances and min(distances) < 2:
            members[distances.index(min(distances))].append(point)
    expected_classes, expected_instances = class_P.copy(), np.zeros(points, dtype=np.int64)
    for number, own in enumerate([own for own in members if own], start=1):
        expected_instances[own] = number
        kinds = class_P[own].tolist()
        expected_classes[own] = max(sorted(set(kinds)), key=kinds.count)
    classes, instances = group_points(class_P, vote_P2, centre_N2, THINGS, 2.0)
    assert instances.tolist() == expected_instances.tolist()
    assert classes.tolist() == expected_classes.tolist()
