"""Queries lie where the rays say: behind returns, before them, and between them and the sensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from cmcr.data.augment import PointAugmentation, augment_points
from cmcr.data.occupancy_queries import OccupancyQueries, OccupancyQueryOptions, draw_occupancy_queries


def draw(points: Tensor, scan: Tensor | None = None, seed: int = 0, **options: float) -> OccupancyQueries:
    scan = torch.zeros(len(points)).long() if scan is None else scan
    return draw_occupancy_queries(points, scan, OccupancyQueryOptions(**options), torch.Generator().manual_seed(seed))


def invent(points: int, seed: int, reach: float = 20.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([2 * reach, 2 * reach, reach / 4, 1.0])
    return (torch.rand(points, 4, generator=generator) - torch.tensor([0.5, 0.5, 0.5, 0.0])) * scale


def test_a_wall() -> None:
    """A wall 10 m ahead: what is occupied lies behind it, what is empty before it."""
    y, z = torch.cartesian_prod(torch.linspace(-4, 4, 30), torch.linspace(-1, 1, 10)).unbind(1)
    wall = torch.stack([torch.full_like(y, 10), y, z, torch.rand_like(y)], dim=1)
    queries = draw(wall, per_scan=300)
    x = queries.position_Q3[:, 0]
    assert len(queries) == 300
    behind, before, between = x[:100], x[100:200], x[200:]
    assert ((behind > 10) & (behind < 10.1)).all()
    assert ((before < 10) & (before > 9.9)).all()
    assert ((between < 10) & (between >= 0)).all()
    assert 4 < between.mean() < 6
    assert queries.occupied_Q.tolist() == [True] * 100 + [False] * 200
    assert queries.near_Q.tolist() == [True] * 200 + [False] * 100


@settings(max_examples=40, deadline=None)
@given(
    points=st.integers(1, 80),
    per_scan=st.integers(1, 100),
    margin_m=st.sampled_from([0.1, 0.5, 30.0]),
    min_range_m=st.sampled_from([0.0, 5.0]),
    seed=st.integers(0, 1000),
)
def test_every_query_is_on_its_own_side(
    points: int, per_scan: int, margin_m: float, min_range_m: float, seed: int
) -> None:
    scene = invent(points, seed)
    queries = draw(scene, seed=seed, per_scan=per_scan, margin_m=margin_m, min_range_m=min_range_m)
    hits = scene[queries.return_Q, :3]
    reach, length = hits.norm(dim=1), queries.position_Q3.norm(dim=1)
    torch.testing.assert_close(queries.position_Q3 * reach[:, None], hits * length[:, None], rtol=1e-4, atol=1e-3)
    assert (reach >= min_range_m).all()
    slack = 1e-5 * (reach + margin_m)
    occupied, near = queries.occupied_Q, queries.near_Q
    assert (length > reach - slack)[occupied].all()
    assert (length < reach + slack)[~occupied].all()
    assert ((length - reach).abs() <= margin_m + slack)[near].all()
    assert not (occupied & ~near).any()
    # No return twice within a third, and as many queries as there are returns for them.
    distant = int((scene[:, :3].norm(dim=1) >= min_range_m).sum())
    third = per_scan // 3
    for chosen, wanted in ((occupied, per_scan - 2 * third), (near & ~occupied, third), (~near, third)):
        rows = queries.return_Q[chosen].tolist()
        assert len(rows) == len(set(rows)) == min(wanted, distant)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_queries_turn_with_the_points(seed: int) -> None:
    """Drawn after augmentation they are those drawn before, turned along: rays about the sensor stay rays."""
    points = invent(50, seed)
    turned, matrix = augment_points(points.numpy(), PointAugmentation(), np.random.default_rng(seed))
    before, after = draw(points, seed=seed), draw(torch.from_numpy(turned), seed=seed)
    expected = before.position_Q3.double() @ torch.from_numpy(matrix).T
    torch.testing.assert_close(after.position_Q3.double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(after.occupied_Q, before.occupied_Q)
    assert torch.equal(after.return_Q, before.return_Q)


def test_scaling_scales_the_rays_too() -> None:
    points = invent(50, seed=0)
    options = PointAugmentation(rotation_deg=0, flip_x=0, flip_y=0, scale=(1.25, 1.25))
    larger, _ = augment_points(points.numpy(), options, np.random.default_rng(0))
    before = draw(points, margin_m=0.1, min_range_m=1.0)
    after = draw(torch.from_numpy(larger), margin_m=0.125, min_range_m=1.25)
    torch.testing.assert_close(after.position_Q3, 1.25 * before.position_Q3)


def test_each_scan_has_its_own() -> None:
    points, scan = invent(70, seed=0), torch.tensor([0] * 30 + [2] * 40)
    points[-40:, :3] += 100
    queries = draw(points, scan, per_scan=90)
    assert torch.bincount(queries.scan_Q).tolist() == [90, 0, 90]
    assert torch.equal(queries.scan_Q, scan[queries.return_Q])
    assert (queries.scan_Q.diff() >= 0).all()
    assert (queries.position_Q3[queries.scan_Q == 0].abs() < 21).all()


def test_the_vehicle_makes_none_and_the_sensor_itself_no_nan() -> None:
    points = torch.tensor([[0.0, 0, 0, 0.5], [0.3, 0, 0, 0.5], [0.0, 0.02, 0, 0.5], [0.0, 3, 0, 0.5]])
    assert draw(points).return_Q.tolist() == [3, 3, 3]
    everywhere = draw(points, min_range_m=0)
    assert torch.isfinite(everywhere.position_Q3).all()
    before = everywhere.position_Q3[4:8]
    assert (before >= 0).all()  # a return nearer than the margin has no query beyond the sensor
    assert len(draw(points[:3])) == 0
    assert len(draw(points[:0])) == 0


def test_the_generator_alone_decides() -> None:
    points = invent(40, seed=0)
    first, again, other = draw(points, seed=1), draw(points, seed=1), draw(points, seed=2)
    assert torch.equal(first.position_Q3, again.position_Q3)
    assert not torch.equal(first.position_Q3, other.position_Q3)


@pytest.mark.parametrize(("option", "value"), [("per_scan", 0), ("margin_m", 0.0), ("min_range_m", -1.0)])
def test_bad_options_are_named(option: str, value: float) -> None:
    with pytest.raises(ValidationError) as error:
        OccupancyQueryOptions(**{option: value})
    assert error.value.errors()[0]["loc"] == (option,)
