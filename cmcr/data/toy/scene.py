"""Drawing a whole toy scene: street, traffic, weather and the recording vehicle's way, from a seed and a name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from cmcr.data.toy import people, vehicles
from cmcr.data.toy.geometry import Mesh
from cmcr.data.toy.ground import KERB_M, WALK_M
from cmcr.data.toy.street import lay_street
from cmcr.data.toy.world import Body, Driving, Light, Path, World

#: Street before the recording's first place and behind its last, and free margin around all, in metres.
_BEFORE_M, _AFTER_M, _MARGIN_M = 50.0, 75.0, 90.0


def scene_generator(seed: int, scene: str, purpose: str) -> np.random.Generator:
    """Return the random numbers of one scene and one purpose; they depend on nothing else."""
    digest = hashlib.sha256(f"{seed}/{scene}/{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def make_world(seed: int, scene: str, duration_s: float) -> World:
    """Draw the world of ``scene`` for a recording of ``duration_s`` seconds."""
    rng = scene_generator(seed, scene, "world")
    speed, half = rng.uniform(6.5, 9.5), rng.uniform(3.4, 3.9)
    length = _BEFORE_M + speed * duration_s + _AFTER_M
    path = _path(length, rng)
    ego = Driving(path, _BEFORE_M, speed, -half / 2, sway_m=rng.uniform(0.5, 1.5))
    bodies = lay_street(path, half, rng)
    bodies += _traffic(path, half, ego, duration_s, rng)
    bodies += _walkers(path, half, ego, duration_s, rng)
    return World(tuple(bodies), _light(rng), ego, path, half)


def _path(length: float, rng: np.random.Generator) -> Path:
    turns = []
    for begin in (20.0, 75.0):
        if rng.random() < 0.7:
            turns.append((begin, begin + rng.uniform(45.0, 65.0), rng.choice([-1, 1]) * rng.uniform(0.2, 0.8)))
    path = Path(length, turns, rng.uniform(-np.pi, np.pi))
    x, y = path.corner()
    path.shift(_MARGIN_M - x, _MARGIN_M - y)
    return path


def _light(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.45, 1.1)
    sun = (np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation))
    cloudy = rng.random()
    zenith = np.array([0.30, 0.48, 0.78]) * (1 - cloudy) + np.array([0.62, 0.65, 0.70]) * cloudy
    horizon = np.array([0.72, 0.80, 0.88]) * (1 - cloudy) + np.array([0.80, 0.81, 0.82]) * cloudy
    return Light(
        sun=sun,
        sun_strength=0.85 - 0.55 * cloudy,
        ambient=0.54 + 0.26 * cloudy,
        zenith=tuple(zenith.tolist()),
        horizon=tuple(horizon.tolist()),
        haze_m=rng.uniform(180.0, 400.0),
    )


Maker = Callable[[np.random.Generator], Mesh]

_RIDDEN = ("vehicle.bicycle", "vehicle.motorcycle")
_MAKERS: dict[str, Maker] = {
    "vehicle.car": vehicles.car,
    "vehicle.truck": vehicles.truck,
    "vehicle.bus.rigid": vehicles.bus,
    "vehicle.trailer": vehicles.trailer,
    "vehicle.construction": vehicles.excavator,
    "vehicle.motorcycle": lambda rng: vehicles.motorcycle(rng, ridden=True),
    "vehicle.bicycle": lambda rng: vehicles.bicycle(rng, ridden=True),
}

#: The oncoming lane, over and over, in an order drawn for each scene; a trailer follows the truck that pulls it.
_ONCOMING = (
    ("vehicle.car", "vehicle.car"), ("vehicle.motorcycle", "vehicle.motorcycle"), ("vehicle.truck", "vehicle.trailer"),
    ("vehicle.car", "vehicle.bicycle"), ("vehicle.bus.rigid",), ("vehicle.car",), ("vehicle.construction",),
    ("vehicle.motorcycle", "vehicle.car"),
)  # fmt: skip


def _moving(category: str, track: Driving, rng: np.random.Generator) -> Body:
    return Body(_MAKERS[category](rng), category, track.at(0.0), track, ridden=category in _RIDDEN)


def _traffic(path: Path, half: float, ego: Driving, duration_s: float, rng: np.random.Generator) -> list[Body]:
    bodies = []
    # Those in the ego vehicle's own lane keep their distance, those at its edge are overtaken.
    ahead, behind = rng.uniform(15, 19), -rng.uniform(12, 15)
    for gap, categories in ((ahead, list(_MAKERS)), (behind, ["vehicle.car", "vehicle.truck"])):
        track = Driving(path, ego.start_m + gap, ego.speed_mps, ego.left_m, sway_m=ego.sway_m)
        bodies.append(_moving(rng.choice(categories), track, rng))
    for gap in (5.0, 11.0, 24.0, 40.0):
        speed = rng.uniform(0.5, 0.95) * ego.speed_mps
        category = "vehicle.bicycle" if rng.random() < 0.6 else "vehicle.motorcycle"
        track = Driving(path, ego.start_m + gap + rng.uniform(0, 3), speed, -half + 0.45)
        bodies.append(_moving(category, track, rng))
    speed = -rng.uniform(5.0, 8.0)
    s, number, order = ego.start_m - 25.0, 0, rng.permutation(len(_ONCOMING))
    while s < path.length_m - speed * duration_s:
        for category in _ONCOMING[order[number % len(order)]]:
            body = _moving(category, Driving(path, s, speed, half / 2), rng)
            reach = float(np.ptp(body.mesh.bounds[:, 0]))
            track = Driving(path, s + reach / 2, speed, half / 2)
            bodies.append(Body(body.mesh, category, track.at(0.0), track, body.ridden))
            s += reach + (0.7 if category == "vehicle.truck" else 4.0)
        s, number = s + rng.uniform(6.0, 12.0), number + 1
    return bodies


def _walkers(path: Path, half: float, ego: Driving, duration_s: float, rng: np.random.Generator) -> list[Body]:
    bodies = []
    for side in (-1, 1):
        for s in np.arange(ego.start_m - 30, ego.start_m + ego.speed_mps * duration_s + 40, 9.0):
            speed = rng.choice([-1, 1]) * rng.uniform(0.8, 1.8)
            left = side * (half + KERB_M + WALK_M - rng.uniform(0.3, 0.7))
            track = Driving(path, s + rng.uniform(0, 6), speed, left, 0.14)
            mesh = people.pedestrian(rng, height=rng.uniform(1.55, 1.95), walks=True)
            bodies.append(Body(mesh, "human.pedestrian.adult", track.at(0.0), track))
    return bodies
