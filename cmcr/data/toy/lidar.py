"""A spinning LiDAR in the toy city: beams that turn clockwise in a twentieth second, from minus x to minus x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmcr.data.toy.geometry import f32
from cmcr.data.toy.materials import PROPERTIES, Material
from cmcr.data.toy.raycast import Hits, Moment, RayCaster
from cmcr.data.toy.rig import Rig, world_from_ego

SWEEP_S = 0.05
NOISE_M = 0.015
_DROPOUT = 0.02

#: Mean number of echoes above the threshold from a white surface at the maximum range, seen perpendicularly.
_SIGNAL = 60.0

_REFLECTIVITY = np.array([PROPERTIES[material].reflectivity for material in Material], np.float32)
_TRANSPARENCY = np.array([PROPERTIES[material].transparency for material in Material], np.float32)


@dataclass(frozen=True, eq=False)
class Sweep:
    """One turn of the LiDAR, expressed in its frame at the end of the turn, the vehicle's own motion made good.

    Attributes:
        points: (P, 5) float32 x, y, z in metres, intensity in [0, 255], ring.
        ray: (P,) int64 number of each point's ray: columns in the order of time, in each the rings from the lowest up.
        body: (P,) int32 number of the body each point lies on.
        azimuth_steps: columns of the sweep.
        mover_times: time in seconds at which the beam passed each moving body, in the order of `RayCaster.movers`.
        moment: the world as the beam met it.
    """

    points: NDArray[np.float32]
    ray: NDArray[np.intp]
    body: NDArray[np.int32]
    azimuth_steps: int
    mover_times: NDArray[np.float64]
    moment: Moment


def column_times(end_s: float, azimuth_steps: int) -> NDArray[np.float64]:
    """Return the time in seconds at which each column of a sweep fires."""
    return end_s - SWEEP_S * (1 - _column_parts(azimuth_steps))


def scan(caster: RayCaster, rig: Rig, end_s: float, azimuth_steps: int, rng: np.random.Generator) -> Sweep:
    """Turn once; the sweep ends, where it began, at ``end_s``.

    The vehicle moves on between the columns. Each moving body is met where it is when the beam passes its middle.
    """
    poses = [world_from_ego(caster.world, time) @ rig.ego_from_lidar() for time in (end_s - SWEEP_S, end_s)]
    part = _column_parts(azimuth_steps)
    azimuth, elevation = np.pi * (1 - 2 * part), np.radians(rig.lidar.elevations_deg)
    level = np.cos(elevation)
    beams = np.stack(
        [
            np.cos(azimuth)[:, None] * level,
            np.sin(azimuth)[:, None] * level,
            np.broadcast_to(np.sin(elevation), (azimuth_steps, len(level))),
        ],
        -1,
    )
    share = part[:, None, None]
    directions = (1 - share) * (beams @ poses[0][:3, :3].T) + share * (beams @ poses[1][:3, :3].T)
    directions = (directions / np.linalg.norm(directions, axis=-1, keepdims=True)).reshape(-1, 3)
    origins = np.repeat((1 - share[:, 0]) * poses[0][:3, 3] + share[:, 0] * poses[1][:3, 3], len(level), 0)

    times = _passing_times(caster, poses[1], end_s)
    moment = caster.at(times, poses[1][:3, 3])
    hits = moment.cast(f32(origins), f32(directions))
    kept, intensity = _echoes(caster, hits, rig.lidar.max_range_m, rng)
    distance = hits.distance[kept] + np.clip(rng.normal(scale=NOISE_M, size=len(kept)), -3 * NOISE_M, 3 * NOISE_M)
    in_world = origins[kept] + directions[kept] * distance[:, None]
    in_lidar = (in_world - poses[1][:3, 3]) @ poses[1][:3, :3]
    ring = kept % len(level)
    points = np.column_stack([in_lidar, intensity, ring]).astype(np.float32)
    return Sweep(points, kept, caster.body[hits.face[kept]], azimuth_steps, times, moment)


def _column_parts(azimuth_steps: int) -> NDArray[np.float64]:
    """Return the part of the turn that lies behind each column, in (0, 1)."""
    return (np.arange(azimuth_steps) + 0.5) / azimuth_steps


def _passing_times(caster: RayCaster, world_from_lidar: NDArray[np.float64], end_s: float) -> NDArray[np.float64]:
    places = np.array([caster.world.bodies[number].at(end_s)[:3] for number in caster.movers]).reshape(-1, 3)
    seen = (places - world_from_lidar[:3, 3]) @ world_from_lidar[:3, :3]
    part = (1 - np.arctan2(seen[:, 1], seen[:, 0]) / np.pi) / 2
    return end_s - SWEEP_S * (1 - part)


def _echoes(
    caster: RayCaster, hits: Hits, max_range_m: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return which rays come back, and their intensities: weak echoes of far, dark or slanting surfaces get lost."""
    kept = np.flatnonzero((hits.distance > 1.0) & (hits.distance < max_range_m))
    face = hits.face[kept]
    material = caster.mesh.material[face]
    light = caster.mesh.colours[face].mean((1, 2))
    reflected = _REFLECTIVITY[material] * (0.5 + light) * hits.cosine[kept]
    lost = 1 - (1 - _DROPOUT) * (1 - _TRANSPARENCY[material])
    lost = 1 - (1 - lost) * (1 - np.exp(-_SIGNAL * reflected * (max_range_m / hits.distance[kept]) ** 2))
    intensity = 255 * _REFLECTIVITY[material] * (0.5 + light) * (0.25 + 0.75 * hits.cosine[kept])
    intensity *= rng.lognormal(sigma=0.2, size=len(kept))
    back = rng.random(len(kept)) >= lost
    return kept[back], np.rint(np.clip(intensity, 0, 255)).astype(np.float32)[back]
