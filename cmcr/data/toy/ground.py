"""Ground of a toy street: its kinds, how it is laid, and the cells that both sides of the street consist of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmcr.data.toy import colours as c
from cmcr.data.toy import people
from cmcr.data.toy.geometry import Colour, Mesh, join, paint, quads
from cmcr.data.toy.materials import Material
from cmcr.data.toy.world import Body, Path

#: Breadth of the strip beside the road (parking, stops, works) and of the sidewalk behind it.
KERB_M, WALK_M = 2.9, 2.7


@dataclass(frozen=True)
class Ground:
    """How a piece of ground looks and how high it lies; `bumps_m` is the deviation of its unevenness."""

    category: str
    material: Material
    colour: Colour
    second: Colour
    z: float
    bumps_m: float = 0.0


class Palette:
    """The kinds of ground of one scene."""

    def __init__(self, rng: np.random.Generator):
        grey = rng.uniform(0.24, 0.40)
        self.road = Ground(
            "flat.driveable_surface",
            Material.ASPHALT,
            (grey, grey, grey * rng.uniform(0.97, 1.03)),
            (0.15, 0.15, 0.15),
            0.0,
        )
        stone = c.vary([(0.52, 0.50, 0.48), (0.44, 0.43, 0.42), (0.55, 0.45, 0.38)][rng.integers(3)], rng)
        self.walk = Ground("flat.sidewalk", Material.PAVING, stone, (0.28, 0.27, 0.26), rng.uniform(0.12, 0.16))
        cobble = c.vary([(0.42, 0.40, 0.38), (0.50, 0.42, 0.36), (0.36, 0.36, 0.38)][rng.integers(3)], rng)
        self.cobbles = Ground("flat.other", Material.COBBLES, cobble, (0.20, 0.19, 0.18), 0.05, 0.006)
        self.island = Ground("flat.other", Material.COBBLES, cobble, (0.20, 0.19, 0.18), 0.22, 0.006)
        grass = c.foliage_colour(rng)
        dry = c.vary((0.50, 0.44, 0.26), rng)
        self.grass = Ground("flat.terrain", Material.GRASS, grass, dry, 0.10, 0.04)
        self.soil = Ground(
            "flat.terrain", Material.SOIL, c.vary((0.40, 0.32, 0.24), rng), (0.55, 0.5, 0.45), 0.03, 0.06
        )


@dataclass(frozen=True, eq=False)
class Cell:
    """A piece of one side of the street. Places in it: a metres in the driving direction of that side from the cell's
    begin, b metres outwards from the road's edge.
    """

    path: Path
    side: int  # -1: right of the path's direction, 1: left
    begin_m: float  # smallest s
    length: float
    road_half_m: float
    palette: Palette
    rng: np.random.Generator
    bodies: list[Body]

    def add(
        self, mesh: Mesh, category: str, a: float, b: float, yaw: float = 0.0, z: float = 0.0, ridden: bool = False
    ) -> None:
        """Put a body there, its x axis turned by ``yaw`` against the driving direction."""
        s = self.begin_m + (a if self.side < 0 else self.length - a)
        turned = yaw + (np.pi if self.side > 0 else 0.0)
        self.bodies.append(
            Body(mesh, category, self.path.pose(s, self.side * (self.road_half_m + b), z, turned), ridden=ridden)
        )

    def lay(self, ground: Ground, b: tuple[float, float]) -> None:
        """Cover the cell's length between two distances from the road's edge with ground."""
        d = tuple(self.side * (self.road_half_m + value) for value in b)
        s = (self.begin_m, self.begin_m + self.length)
        self.bodies.append(Body(strip(self.path, s, (d[0], d[1]), ground, self.rng), ground.category))

    def place(self, b_low: float, b_high: float) -> tuple[float, float]:
        """Draw a place between two distances from the road's edge."""
        return self.rng.uniform(0.5, self.length - 0.5), self.rng.uniform(b_low, max(b_low, b_high))

    def pedestrian(self, a: float, b: float, z: float, worker: bool = False) -> None:
        """Put a standing person somewhere."""
        child = not worker and self.rng.random() < 0.15
        height = self.rng.uniform(1.1, 1.45) if child else self.rng.uniform(1.58, 1.95)
        kind = "construction_worker" if worker else "child" if child else "adult"
        mesh = people.pedestrian(self.rng, height=height, worker=worker)
        self.add(mesh, f"human.pedestrian.{kind}", a, b, self.rng.uniform(-np.pi, np.pi), z)


def strip(path: Path, s: tuple[float, float], d: tuple[float, float], ground: Ground, rng: np.random.Generator) -> Mesh:
    """Ground between two places along and two places across the street, with vertical edges down to the road."""
    step = 0.7 if ground.bumps_m > 0.01 else 2.0
    s_grid = np.linspace(*s, max(2, int(np.ceil((s[1] - s[0]) / step)) + 1))
    d_grid = np.linspace(*d, max(2, int(np.ceil(abs(d[1] - d[0]) / step)) + 1))
    s_all, d_all = np.meshgrid(s_grid, d_grid, indexing="ij")
    z = np.full(s_all.shape, ground.z)
    z[1:-1, 1:-1] += rng.normal(scale=ground.bumps_m, size=z[1:-1, 1:-1].shape)
    top = np.concatenate([path.points(s_all, d_all), z[..., None]], -1)
    floor = quads(*(block.reshape(-1, 3) for block in (top[:-1, :-1], top[1:, :-1], top[1:, 1:], top[:-1, 1:])))
    mesh = paint(floor, ground.material, ground.colour, ground.second)
    if ground.z <= 0:
        return mesh
    border = np.concatenate([top[:, 0], top[-1, 1:], top[-2::-1, -1], top[0, -2::-1]])
    foot = border * np.array([1.0, 1.0, 0.0]) - np.array([0.0, 0.0, 0.2])
    edge = quads(border[:-1], border[1:], foot[1:], foot[:-1])
    return join([mesh, paint(edge, Material.CONCRETE, c.vary((0.58, 0.57, 0.55), rng))])
