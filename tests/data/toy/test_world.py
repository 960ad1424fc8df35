"""Streets and the ways of those who move along them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.toy.world import Driving, Path


def test_a_straight_street_goes_on_beyond_its_ends() -> None:
    path = Path(20.0, [], heading=np.pi / 2)
    path.shift(5.0, 1.0)
    places = path.points(np.array([0.0, 7.3, 30.0, -4.0]), np.array([0.0, 2.0, 0.0, -1.0]))
    # North is ahead, so 2 m to the left is 2 m to the west.
    np.testing.assert_allclose(places, [[5, 1], [3, 8.3], [5, 31], [6, -3]], atol=1e-9)


@given(angle=st.floats(-1.0, 1.0), left=st.floats(-8, 8), s=st.floats(0, 99))
def test_a_bend_turns_by_its_angle_and_keeps_lanes_apart(angle: float, left: float, s: float) -> None:
    path = Path(100.0, [(20.0, 80.0, angle)])
    assert path.pose(99.0, 0.0).yaw - path.pose(0.0, 0.0).yaw == pytest.approx(angle)
    centre, lane = path.points(np.array([s, s]), np.array([0.0, left]))
    assert np.linalg.norm(lane - centre) == pytest.approx(abs(left), abs=1e-9)
    step = path.points(np.array([s + 0.01]), np.zeros(1))[0] - centre
    assert step / 0.01 == pytest.approx([np.cos(path.pose(s, 0).yaw), np.sin(path.pose(s, 0).yaw)], abs=0.02)


def test_oncoming_traffic_looks_backwards_and_moves_where_it_looks() -> None:
    track = Driving(Path(100.0, []), start_m=50.0, speed_mps=-8.0, left_m=1.7)
    early, late = track.at(1.0), track.at(1.5)
    assert late.x - early.x == pytest.approx(-4.0)
    assert np.cos(early.yaw) == pytest.approx(-1.0)
