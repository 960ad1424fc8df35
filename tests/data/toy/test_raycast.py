"""First hits against worlds simple enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest

from cmcr.data.toy.geometry import box, paint
from cmcr.data.toy.materials import Material
from cmcr.data.toy.raycast import RayCaster
from cmcr.data.toy.world import Body, Driving, Light, Path, Pose, World

GREY = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def caster() -> RayCaster:
    """A wall 10 m ahead, and a cube that drives across in front of it at 1 m/s, at x = 5 m."""
    path = Path(20.0, [], heading=np.pi / 2)
    wall = Body(paint(box((0, 1), (-5, 5), (0, 5)), Material.BRICK, GREY), "static.manmade", Pose(10, 0, 0, 0))
    track = Driving(path, start_m=-3.0, speed_mps=1.0, left_m=-5.0)
    cube = Body(paint(box((-1, 1), (-1, 1), (0, 2)), Material.PAINT, GREY), "vehicle.car", track.at(0), track)
    light = Light((0.0, 0.0, 1.0), 0.5, 0.5, GREY, GREY, 200.0)
    return RayCaster(World((cube, wall), light, track, path, 3.5))


EYE = np.array([[0.0, 0.0, 1.0]])
AHEAD = np.array([[1.0, 0.0, 0.0]])


@pytest.mark.parametrize(("time_s", "distance", "body"), [(0.0, 10.0, 1), (3.0, 4.0, 0), (6.0, 10.0, 1)])
def test_a_moving_body_hides_what_is_behind_it_only_while_it_is_there(
    caster: RayCaster, time_s: float, distance: float, body: int
) -> None:
    hits = caster.at(time_s, EYE[0]).cast(EYE, AHEAD)
    assert hits.distance[0] == pytest.approx(distance, abs=1e-4)
    assert caster.body[hits.face[0]] == body
    np.testing.assert_allclose(hits.normal[0], [-1, 0, 0], atol=1e-6)
    assert hits.cosine[0] == pytest.approx(1.0)


def test_a_hit_lies_on_its_triangle(caster: RayCaster) -> None:
    rays = np.array([[10.0, 2.2, 1.3]]) / np.linalg.norm([10.0, 2.2, 1.3])
    hits = caster.at(0.0, EYE[0]).cast(EYE, rays)
    corners = caster.mesh.corners[hits.face[0]]
    np.testing.assert_allclose(hits.weights[0] @ corners, EYE[0] + hits.distance[0] * rays[0], atol=1e-4)
    np.testing.assert_allclose([10.0, 2.2, 2.3], hits.weights[0] @ corners, atol=1e-4)


def test_a_ray_into_the_sky_meets_nothing(caster: RayCaster) -> None:
    hits = caster.at(3.0, EYE[0]).cast(EYE, np.array([[0.0, 0.0, 1.0]]))
    assert hits.face[0] == -1
    assert np.isinf(hits.distance[0])
    assert not hits.normal.any()


def test_each_mover_can_have_a_time_of_its_own(caster: RayCaster) -> None:
    assert caster.movers == [0]
    assert caster.at(np.array([3.0]), EYE[0]).cast(EYE, AHEAD).distance[0] == pytest.approx(4.0, abs=1e-4)


def test_bodies_out_of_view_are_left_out(caster: RayCaster) -> None:
    behind = caster.at(3.0, np.array([60.0, 0.0, 1.0]), (np.array([1.0, 0.0, 0.0]), 0.7))
    assert behind.cast(EYE, AHEAD).distance[0] == pytest.approx(10.0, abs=1e-4)
    before = caster.at(3.0, EYE[0], (np.array([1.0, 0.0, 0.0]), 0.7))
    assert before.cast(EYE, AHEAD).distance[0] == pytest.approx(4.0, abs=1e-4)


def test_shadows_come_from_standing_and_from_moving_bodies(caster: RayCaster) -> None:
    up = np.array([[0.0, 0.0, 1.0]])
    ground = np.array([[5.0, 0.0, 0.0], [10.5, 0.0, 0.0], [2.0, 0.0, 0.0]])
    seen = caster.at(3.0, EYE[0]).sees(ground, np.repeat(up, 3, 0), up[0])
    assert seen.tolist() == [False, False, True]
