"""The world of a toy scene: what exists, where it is at any time, of which category and material. No sensor, no file.

The world frame is right-handed with z up, metres, its origin below and left of everything (all x and y are positive).
Times are seconds since the scene's first moment; yaw is the angle from the world's x axis to a body's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cmcr.data.nuscenes_names import CATEGORIES
from cmcr.data.toy.geometry import Colour, Mesh

#: Number of each annotated category.
CATEGORY_NUMBER = {name: number for number, (name, _) in enumerate(CATEGORIES)}

#: Categories from here on are surfaces and buildings; those before are countable things with boxes.
FIRST_STUFF = CATEGORY_NUMBER["flat.driveable_surface"]


class Pose(NamedTuple):
    """Where a body stands: its origin in the world, and yaw in radians."""

    x: float
    y: float
    z: float
    yaw: float


ORIGIN = Pose(0.0, 0.0, 0.0, 0.0)


class Track(Protocol):
    """Where a body is at each time."""

    def at(self, time_s: float) -> Pose: ...


class Path:
    """The centre line of a street: a smooth curve, with places given by s metres along it and d metres to its left."""

    STEP_M = 0.5

    def __init__(self, length_m: float, turns: Sequence[tuple[float, float, float]], heading: float = 0.0):
        """Lay the curve out from the origin.

        Args:
            length_m: length of the street.
            turns: begin and end along the street and total angle (radians, left positive) of each bend.
            heading: direction at the start.
        """
        self.length_m = length_m
        s = np.arange(0.0, length_m + self.STEP_M, self.STEP_M)
        curvature = np.zeros_like(s)
        for begin, end, angle in turns:
            within = (s >= begin) & (s < end)
            ramp = np.sin(np.pi * (s[within] - begin) / (end - begin)) ** 2
            curvature[within] += angle * ramp / (ramp.sum() * self.STEP_M)
        headings = heading + np.cumsum(curvature) * self.STEP_M
        steps = self.STEP_M * np.stack([np.cos(headings), np.sin(headings)], 1)
        #: (N, 3) x, y and heading at every STEP_M.
        self._knots = np.column_stack([np.cumsum(steps, 0) - steps, headings])

    def shift(self, x: float, y: float) -> None:
        """Move the whole curve."""
        self._knots += (x, y, 0.0)

    def corner(self) -> tuple[float, float]:
        """Smallest x and y."""
        x, y = self._knots[:, :2].min(0).tolist()
        return x, y

    def points(self, s: NDArray[np.float64], d: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., 2) x, y of places ``s`` along and ``d`` to the left; beyond its ends it goes straight on."""
        return self._at(np.asarray(s), np.asarray(d))[..., :2]

    def pose(self, s: float, d: float, z: float = 0.0, yaw: float = 0.0) -> Pose:
        """Pose at a place, turned by ``yaw`` against the street's direction."""
        x, y, heading = self._at(np.array(s), np.array(d)).tolist()
        return Pose(x, y, z, heading + yaw)

    def _at(self, s: NDArray[np.float64], d: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., 3) x, y and heading."""
        place = s / self.STEP_M
        before = np.minimum(np.maximum(place, 0), len(self._knots) - 2).astype(np.intp)
        low, high = self._knots[before], self._knots[before + 1]
        # A share outside [0, 1], beyond the ends, goes straight on.
        values = low + (place - before)[..., None] * (high - low)
        heading = values[..., 2] = np.clip(values[..., 2], *np.sort(np.stack([low[..., 2], high[..., 2]]), 0))
        values[..., 0] -= d * np.sin(heading)
        values[..., 1] += d * np.cos(heading)
        return values


@dataclass(frozen=True)
class Driving:
    """Along a street at ``speed_mps`` (negative: against its direction), gently faster and slower in turn."""

    path: Path
    start_m: float
    speed_mps: float
    left_m: float
    z: float = 0.0
    sway_m: float = 0.0
    sway_s: float = 9.0

    def at(self, time_s: float) -> Pose:
        """Pose at a time."""
        s = self.start_m + self.speed_mps * time_s + self.sway_m * np.sin(2 * np.pi * time_s / self.sway_s)
        return self.path.pose(s, self.left_m, self.z, np.pi if self.speed_mps < 0 else 0.0)


@dataclass(frozen=True, eq=False)
class Body:
    """One thing or one piece of the surroundings.

    Attributes:
        mesh: in the body's own frame, or in the world frame where ``pose`` is the origin.
        category: one of nuScenes' 32 annotated categories, the finest that any of the data sets knows.
        pose: where it stands; where it starts if it moves.
        track: where it is at each time; None if it stays.
        ridden: a cycle with a rider.
    """

    mesh: Mesh
    category: str
    pose: Pose = ORIGIN
    track: Track | None = None
    ridden: bool = False

    @property
    def is_thing(self) -> bool:
        """Whether it is counted and gets a box."""
        return CATEGORY_NUMBER[self.category] < FIRST_STUFF

    def at(self, time_s: float) -> Pose:
        """Pose at a time."""
        return self.pose if self.track is None else self.track.at(time_s)


@dataclass(frozen=True)
class Light:
    """Weather of a scene.

    Attributes:
        sun: unit vector towards the sun.
        sun_strength, ambient: shares of direct and scattered light.
        zenith, horizon: colours of the sky; distant things fade to the latter.
        haze_m: distance after which 63 % of the light is haze.
    """

    sun: tuple[float, float, float]
    sun_strength: float
    ambient: float
    zenith: Colour
    horizon: Colour
    haze_m: float


@dataclass(frozen=True, eq=False)
class World:
    """Everything of one scene: its bodies (a body's number is its place), the light, and the vehicle's way."""

    bodies: tuple[Body, ...]
    light: Light
    ego: Track
    path: Path
    road_half_m: float
