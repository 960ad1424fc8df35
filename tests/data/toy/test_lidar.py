"""Sweeps of one drawn scene."""

from __future__ import annotations

import numpy as np
import pytest

from cmcr.data.nuscenes_names import CLASS_NAMES, CLASS_OF_CATEGORY
from cmcr.data.toy.city import ToyCityOptions
from cmcr.data.toy.lidar import NOISE_M, Sweep, scan
from cmcr.data.toy.raycast import RayCaster
from cmcr.data.toy.recording import duration_s
from cmcr.data.toy.rig import NUSCENES, world_from_ego
from cmcr.data.toy.scene import make_world

END_S = 0.6
STEPS = 180


@pytest.fixture(scope="module")
def caster() -> RayCaster:
    return RayCaster(make_world(3, "scene-0061", duration_s(2)))


@pytest.fixture(scope="module")
def sweep(caster: RayCaster) -> Sweep:
    return scan(caster, NUSCENES, END_S, STEPS, np.random.default_rng(0))


def test_numbers_are_in_their_ranges(sweep: Sweep) -> None:
    points = sweep.points
    assert points.dtype == np.float32
    assert 0.7 * 32 * STEPS < len(points) < 32 * STEPS
    assert np.linalg.norm(points[:, :3], axis=1).max() < NUSCENES.lidar.max_range_m + 1
    assert points[:, 3].min() >= 0
    assert points[:, 3].max() <= 255
    np.testing.assert_array_equal(points[:, 3], np.rint(points[:, 3]))
    assert set(points[:, 4]) <= set(range(32))


def test_rings_keep_their_elevation(sweep: Sweep) -> None:
    """The vehicle's own motion within the sweep (0.5 m at most) moves near points by a few degrees only."""
    x, y, z = sweep.points[:, :3].T
    elevation = np.degrees(np.arctan2(z, np.hypot(x, y)))
    expected = np.array(NUSCENES.lidar.elevations_deg)[sweep.points[:, 4].astype(int)]
    assert np.median(np.abs(elevation - expected)) < 0.3
    assert np.abs(elevation - expected).max() < 6.0


def test_the_beam_turns_clockwise_from_the_left(sweep: Sweep) -> None:
    azimuth = np.arctan2(sweep.points[:, 1], sweep.points[:, 0])
    far = np.linalg.norm(sweep.points[:, :2], axis=1) > 8
    turned = np.unwrap((np.pi - azimuth[far]), period=2 * np.pi)
    # The vehicle's own turning and driving may bring neighbours out of order, by a few columns at most.
    assert np.diff(turned).min() > -4 * 2 * np.pi / STEPS
    assert turned[-1] - turned[0] == pytest.approx(2 * np.pi, abs=0.3)


def test_the_road_is_flat_in_the_world(caster: RayCaster, sweep: Sweep) -> None:
    """Fails if columns were placed by the pose of another time: the vehicle nods while it drives."""
    world_from_lidar = world_from_ego(caster.world, END_S) @ NUSCENES.ego_from_lidar()
    in_world = sweep.points[:, :3] @ world_from_lidar[:3, :3].T + world_from_lidar[:3, 3]
    road = CLASS_OF_CATEGORY[caster.category[sweep.body]] == CLASS_NAMES.index("driveable_surface")
    assert road.mean() > 0.15
    assert np.abs(in_world[road, 2]).max() < 3 * NOISE_M + 0.01


def test_points_lie_on_the_body_that_labels_them(caster: RayCaster, sweep: Sweep) -> None:
    world_from_lidar = world_from_ego(caster.world, END_S) @ NUSCENES.ego_from_lidar()
    in_world = sweep.points[:, :3] @ world_from_lidar[:3, :3].T + world_from_lidar[:3, 3]
    times = dict(zip(caster.movers, sweep.mover_times, strict=True))
    for number in np.unique(sweep.body):
        body = caster.world.bodies[number]
        pose = body.at(times.get(number, 0.0))
        cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
        own = (in_world[sweep.body == number] - pose[:3]) @ [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
        low, high = body.mesh.bounds
        assert (own > low - 3 * NOISE_M - 1e-3).all()
        assert (own < high + 3 * NOISE_M + 1e-3).all()


def test_movers_are_met_when_the_beam_passes_them(caster: RayCaster, sweep: Sweep) -> None:
    inverse = np.linalg.inv(world_from_ego(caster.world, END_S) @ NUSCENES.ego_from_lidar())
    for number, time in zip(caster.movers, sweep.mover_times, strict=True):
        x, y, _, _ = inverse @ [*caster.world.bodies[number].at(END_S)[:3], 1.0]
        assert END_S - 0.05 <= time <= END_S
        if x > 0 and abs(y) < 0.2 * x:  # on the right: half of the turn is done
            assert time == pytest.approx(END_S - 0.025, abs=0.002)
        if y < 0 and abs(x) < 0.2 * -y:  # behind: three quarters
            assert time == pytest.approx(END_S - 0.0125, abs=0.002)


def test_noise_comes_from_the_generator_alone(caster: RayCaster, sweep: Sweep) -> None:
    again = scan(caster, NUSCENES, END_S, STEPS, np.random.default_rng(0))
    other = scan(caster, NUSCENES, END_S, STEPS, np.random.default_rng(1))
    np.testing.assert_array_equal(again.points, sweep.points)
    assert not np.array_equal(other.points[:100], sweep.points[:100])


@pytest.mark.slow
def test_every_class_is_common_enough_to_be_learned() -> None:
    """At default size every thing class has at least 0.5 % of a split's points and is in most of its scans."""
    options = ToyCityOptions()
    counts = []
    for scene in options.scene_names():
        caster = RayCaster(make_world(options.seed, scene, duration_s(options.keyframes)))
        for number in range(options.keyframes):
            sweep = scan(caster, NUSCENES, 0.1 + 0.5 * number, options.azimuth_steps, np.random.default_rng(number))
            classes = CLASS_OF_CATEGORY[caster.category[sweep.body]]
            counts.append(np.bincount(classes, minlength=len(CLASS_NAMES)))
    table = np.array(counts)
    split_at = options.train_scenes * options.keyframes
    for split in (table[:split_at], table[split_at:]):
        share = split.sum(0) / split.sum()
        assert share[0] == 0
        assert share[1:].min() > 0.005, dict(zip(CLASS_NAMES, share.round(4), strict=True))
        assert share[CLASS_NAMES.index("driveable_surface")] < 0.4
        assert ((split >= 5).mean(0)[1:] > 0.7).all(), dict(zip(CLASS_NAMES, (split >= 5).mean(0), strict=True))
