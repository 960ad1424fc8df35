"""Driving through a toy world with all sensors on: keyframes, two a second, that know nothing of any file format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmcr.data.toy.camera import photograph
from cmcr.data.toy.geometry import f32, turn
from cmcr.data.toy.lidar import Sweep, scan
from cmcr.data.toy.raycast import Moment, RayCaster
from cmcr.data.toy.rig import Rig, world_from_ego
from cmcr.data.toy.world import Pose, World

KEYFRAME_S = 0.5

#: End of the first sweep; the first camera fires before it.
_FIRST_S = 0.1

#: Things farther away than this are not looked for.
BOX_RANGE_M = 50.0

_PROBES = 24


@dataclass(frozen=True, eq=False)
class Picture:
    """One image: its time in seconds, the vehicle's pose then, (H, W, 3) uint8 RGB pixels."""

    time_s: float
    world_from_ego: NDArray[np.float64]
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Sighting:
    """A thing within range: body number, pose when the beam passed, returns on it, share that nothing hides."""

    body: int
    pose: Pose
    num_points: int
    visibility: float


@dataclass(frozen=True, eq=False)
class Keyframe:
    """One sweep with its end in seconds, the vehicle's pose then, the images by camera, and the things around."""

    time_s: float
    world_from_ego: NDArray[np.float64]
    sweep: Sweep
    pictures: dict[str, Picture]
    sightings: list[Sighting]


def duration_s(keyframes: int) -> float:
    """Time that a recording of so many keyframes takes."""
    return _FIRST_S + keyframes * KEYFRAME_S


def record(
    world: World, rig: Rig, keyframes: int, image_size: tuple[int, int], azimuth_steps: int, rng: np.random.Generator
) -> Iterator[Keyframe]:
    """Drive through ``world``.

    Args:
        world: with B bodies.
        rig: the vehicle's sensors.
        keyframes: how many.
        image_size: height and width of all images in pixels.
        azimuth_steps: columns of a sweep.
        rng: draws the sensors' noise.
    """
    caster = RayCaster(world)
    for number in range(keyframes):
        time = _FIRST_S + number * KEYFRAME_S
        sweep = scan(caster, rig, time, azimuth_steps, rng)
        pictures = {}
        for name, camera in rig.cameras.items():
            fired = time - camera.before_s
            pose = world_from_ego(world, fired)
            view = pose @ rig.ego_from_camera(name)
            intrinsics = camera.intrinsics(image_size)
            wide = image_size[1] / (2 * intrinsics[0, 0])
            moment = caster.at(fired, view[:3, 3], (view[:3, 2], wide))
            pixels = photograph(moment, intrinsics, image_size, view, rng)
            pictures[name] = Picture(fired, pose, pixels)
        pose = world_from_ego(world, time)
        yield Keyframe(time, pose, sweep, pictures, _look_around(caster, sweep, pose @ rig.ego_from_lidar()))


def _look_around(caster: RayCaster, sweep: Sweep, world_from_lidar: NDArray[np.float64]) -> list[Sighting]:
    """Find the things within range, where they were when the beam passed them, and how much of each is in view."""
    eye = world_from_lidar[:3, 3]
    times = dict(zip(caster.movers, sweep.mover_times.tolist(), strict=True))
    counts = np.bincount(sweep.body, minlength=len(caster.world.bodies))
    near = {}
    for number, body in enumerate(caster.world.bodies):
        pose = body.at(times.get(number, 0.0)) if body.is_thing else body.pose
        if body.is_thing and np.hypot(pose.x - eye[0], pose.y - eye[1]) < BOX_RANGE_M:
            near[number] = pose
    visible = _visible_shares(sweep.moment, eye, near)
    return [
        Sighting(number, pose, int(counts[number]), share)
        for (number, pose), share in zip(near.items(), visible, strict=True)
    ]


def _visible_shares(moment: Moment, eye: NDArray[np.float64], poses: dict[int, Pose]) -> list[float]:
    """Return for each body the share of rays from ``eye`` towards places on its surface that meet it first."""
    targets = []
    for number, pose in poses.items():
        corners = moment.caster.world.bodies[number].mesh.corners
        chosen = corners[np.linspace(0, len(corners) - 1, _PROBES).astype(int)]
        targets.append(turn(chosen.mean(1, keepdims=True), pose.yaw)[:, 0] + f32(pose[:3]))
    rays = np.array(targets).reshape(-1, 3) - eye
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    hits = moment.cast(np.broadcast_to(eye, rays.shape), rays)
    met = np.where(hits.face >= 0, moment.caster.body[hits.face], -1).reshape(-1, _PROBES)
    return (met == np.array(list(poses))[:, None]).mean(1).tolist()
