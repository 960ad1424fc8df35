"""The search finds exactly the points that a comparison of everything with everything finds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cmcr.sparse import radius
from cmcr.sparse.radius import points_within


def slow_pairs(places: Tensor, scan_q: Tensor, points: Tensor, scan_p: Tensor, radius_m: float) -> set[tuple[int, int]]:
    near = (places[:, None] - points[None]).square().sum(dim=2) <= radius_m**2
    return {(q, p) for q, p in near.nonzero().tolist() if scan_q[q] == scan_p[p]}


def invent(places: int, points: int, seed: int, spread: float = 3.0, scans: int = 3) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for number in (places, points):
        parts.append((torch.rand(number, 3, generator=generator) - 0.5) * 2 * spread)
        parts.append(torch.randint(scans, (number,), generator=generator).sort().values)
    return tuple(parts)


@settings(max_examples=40, deadline=None)
@given(
    places=st.integers(0, 30),
    points=st.integers(0, 60),
    radius_m=st.sampled_from([0.05, 0.7, 1.0, 4.0]),
    seed=st.integers(0, 1000),
)
def test_equals_all_against_all(places: int, points: int, radius_m: float, seed: int) -> None:
    scene = invent(places, points, seed)
    query, point = points_within(*scene, radius_m)
    assert (query.diff() >= 0).all()
    found = list(zip(query.tolist(), point.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == slow_pairs(*scene, radius_m)


def test_points_exactly_on_the_sphere_count() -> None:
    axis = torch.arange(-3.0, 4.0)
    points = torch.cartesian_prod(axis, axis, axis)
    place, scans = torch.zeros(1, 3), torch.zeros(len(points)).long()
    for radius_m, number in ((1.0, 7), (2.0, 33), (3.0, 123)):
        assert len(points_within(place, scans[:1], points, scans, radius_m)[1]) == number


@pytest.mark.parametrize("radius_m", [0.3, 0.7, 1.3])
def test_rounding_loses_no_point_on_the_sphere(radius_m: float) -> None:
    """Places at multiples of the radius, each with one point a radius below: both may be rounded across a cube."""
    places, scans = torch.zeros(1201, 3), torch.arange(1201)
    places[:, 0] = torch.arange(-600, 601) * radius_m
    points = places.clone()
    points[:, 0] -= radius_m
    points[:, 0] = points[:, 0].nextafter(torch.tensor(-1e9))
    expected = (points - places).square().sum(dim=1) <= radius_m**2
    assert expected.any()
    assert points_within(places, scans, points, scans, radius_m)[0].tolist() == expected.nonzero().squeeze(1).tolist()


def test_scans_do_not_see_each_other() -> None:
    place = torch.zeros(4, 3)
    scan = torch.tensor([0, 1, 2, 3])
    query, point = points_within(place, scan, place[:2], scan[1:3], 1.0)
    assert (query.tolist(), point.tolist()) == ([1, 2], [0, 1])


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = invent(200, 300, seed=0)
    whole = points_within(*scene, 1.5), points_within(*scene, 1.5, at_most=3)
    for size in (1, 50, 997):
        monkeypatch.setattr(radius, "AT_ONCE", size)
        for at_most, expected in zip((None, 3), whole, strict=True):
            for ours, theirs in zip(points_within(*scene, 1.5, at_most), expected, strict=True):
                assert torch.equal(ours, theirs)


@pytest.mark.parametrize("at_most", [1, 2, 7, 1000])
def test_a_limit_keeps_so_many_of_each_place_spread_evenly(at_most: int) -> None:
    scene = invent(50, 400, seed=1, spread=1.5)
    query, point = points_within(*scene, 1.0)
    kept_query, kept_point = points_within(*scene, 1.0, at_most)
    all_of, kept_of = torch.bincount(query, minlength=50), torch.bincount(kept_query, minlength=50)
    assert torch.equal(kept_of, all_of.clamp(max=at_most))
    assert all_of.max() > 20
    for place in range(50):
        listed, kept = point[query == place].tolist(), kept_point[kept_query == place].tolist()
        steps = [listed.index(p) for p in kept]
        # Even steps: between two that are kept lie equally many that are not, give or take one.
        gaps = [after - before for before, after in itertools.pairwise(steps)]
        assert all(abs(gap - len(listed) / len(kept)) < 1 for gap in gaps)


class LargestTensor(TorchDispatchMode):
    """Remembers the elements of the largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, Tensor):
                self.largest = max(self.largest, part.numel())
        return result


def test_memory_does_not_grow_with_places_times_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radius, "AT_ONCE", 2**12)
    scene = invent(4000, 20000, seed=2, spread=30.0, scans=2)
    with LargestTensor() as watch:
        query, _ = points_within(*scene, 1.0)
    assert len(query) < 20000
    assert watch.largest <= 4 * 9 * 4000  # keys of the nine columns, four numbers each; all pairs would be 80 million
