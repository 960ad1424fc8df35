"""Lay-out of a toy scene: a street with two lanes and, along both sides, cells of ground, buildings and things."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cmcr.data.toy import colours as c
from cmcr.data.toy import furniture, vehicles
from cmcr.data.toy.geometry import Mesh, join
from cmcr.data.toy.ground import KERB_M, WALK_M, Cell, Ground, Palette, strip
from cmcr.data.toy.materials import Material
from cmcr.data.toy.world import Body, Path


def lay_street(path: Path, road_half_m: float, rng: np.random.Generator) -> list[Body]:
    """Return the ground, buildings and standing things along the whole ``path``."""
    palette = Palette(rng)
    whole = (-60.0, path.length_m + 60.0)
    road = strip(path, whole, (-road_half_m, road_half_m), palette.road, rng)
    bodies = [Body(mesh, palette.road.category) for mesh in (road, _markings(path, road_half_m, rng))]
    base = Ground("flat.terrain", Material.GRASS, palette.grass.colour, palette.grass.second, -0.12)
    for side in (-1, 1):
        wide = strip(path, whole, (side * road_half_m, side * (road_half_m + 70)), base, rng)
        bodies.append(Body(wide, "flat.terrain"))
        order = rng.permutation(len(_KINDS))
        position, number = -10.0 * rng.random(), 0
        while position < path.length_m:
            length, build = _KINDS[order[number % len(order)]]
            length *= rng.uniform(0.95, 1.1)
            build(Cell(path, side, position, length, road_half_m, palette, rng, bodies))
            position, number = position + length, number + 1
    return bodies


def _markings(path: Path, road_half_m: float, rng: np.random.Generator) -> Mesh:
    """The dashed middle line and the two edge lines."""
    line = Ground("flat.driveable_surface", Material.MARKING, c.vary((0.80, 0.80, 0.76), rng), (0.6, 0.6, 0.6), 0.0)
    pieces = []
    for s in np.arange(0, path.length_m, 6.0):
        pieces.append(strip(path, (s, s + 3.0), (-0.08, 0.08), line, rng))
    for d in (-road_half_m + 0.15, road_half_m - 0.27):
        pieces.append(strip(path, (0, path.length_m), (d, d + 0.12), line, rng))
    raised = join(pieces)
    return raised.placed(0, 0, 0.008)


def _sidewalk(cell: Cell, kerb: Ground) -> None:
    """Kerb strip, sidewalk and what stands behind them."""
    p, rng = cell.palette, cell.rng
    cell.lay(kerb, (0, KERB_M))
    cell.lay(p.walk, (KERB_M, KERB_M + WALK_M))
    if rng.random() < 0.5:
        cell.add(furniture.pole(rng), "static.manmade", 0.4, KERB_M + 0.3, np.pi / 2, p.walk.z)
    elif rng.random() < 0.6:
        cell.add(furniture.tree(rng), "static.vegetation", 0.5, KERB_M + 0.5, 0, p.walk.z)
    if rng.random() < 0.4:
        cell.add(furniture.sign(rng), "static.manmade", cell.length - 0.4, KERB_M + 0.3, np.pi, p.walk.z)
    for _ in range(rng.integers(0, 3)):
        cell.pedestrian(rng.uniform(0.5, cell.length - 0.5), KERB_M + rng.uniform(0.4, 1.9), p.walk.z)
    _front(cell, KERB_M + WALK_M)


def _front(cell: Cell, b: float) -> None:
    """Lawn, forecourt or yard from ``b`` outwards, and a house or a park behind it."""
    p, rng = cell.palette, cell.rng
    depth = rng.uniform(2.5, 6.5)
    is_park = rng.random() < 0.25
    ground = [p.grass, p.walk, p.island, p.cobbles][rng.choice(4, p=[0.5, 0.1, 0.2, 0.2])]
    if is_park:
        ground, depth = p.grass, 16.0
    cell.lay(ground, (b, b + depth))
    middle = cell.length / 2
    if ground is p.grass:
        edge = furniture.fence if rng.random() < 0.4 else furniture.hedge
        if rng.random() < 0.6:
            category = "static.manmade" if edge is furniture.fence else "static.vegetation"
            cell.add(edge(cell.length * 0.8, rng), category, middle, b + 0.4, 0, ground.z)
        for _ in range(rng.integers(1, 4)):
            cell.add(
                furniture.bush(rng), "static.vegetation", *cell.place(b + 1.0, b + min(depth, 6) - 0.3), 0, ground.z
            )
    else:
        cell.add(furniture.bench(rng), "static.manmade", *cell.place(b + 0.6, b + depth - 0.5), 0, ground.z)
    if is_park:
        for _ in range(4):
            cell.add(furniture.tree(rng), "static.vegetation", *cell.place(b + 2, b + depth), 0, ground.z)
    elif depth > 4 and rng.random() < 0.5:
        cell.add(furniture.tree(rng), "static.vegetation", middle, b + depth / 2, 0, ground.z)
    house = furniture.building(cell.length - rng.choice([0.0, 0.0, 2.0]), 10.0, rng)
    cell.add(house, "static.manmade", middle, b + depth, np.pi, 0.0)


def _cars(cell: Cell) -> None:
    ground = cell.palette.cobbles
    _sidewalk(cell, ground)
    for a in (0.26 * cell.length, 0.76 * cell.length):
        yaw = cell.rng.normal(scale=0.03) + (np.pi if cell.rng.random() < 0.1 else 0)
        cell.add(vehicles.car(cell.rng), "vehicle.car", a, 1.45 + cell.rng.normal(scale=0.1), yaw, ground.z)


def _bus_stop(cell: Cell) -> None:
    p, rng = cell.palette, cell.rng
    _sidewalk(cell, p.road)
    cell.add(vehicles.bus(rng), "vehicle.bus.rigid", cell.length / 2, 1.6, rng.normal(scale=0.02))
    a = rng.uniform(3, cell.length - 3)
    cell.add(furniture.shelter(rng), "static.manmade", a, KERB_M + WALK_M - 0.9, 0, p.walk.z)
    for _ in range(rng.integers(3, 7)):
        cell.pedestrian(a + rng.normal(scale=1.8), KERB_M + rng.uniform(0.4, 1.5), p.walk.z)


def _works(cell: Cell) -> None:
    p, rng = cell.palette, cell.rng
    _sidewalk(cell, p.soil)
    yaw = rng.choice([0, np.pi]) + rng.normal(scale=0.15)
    cell.add(vehicles.excavator(rng), "vehicle.construction", cell.length / 2, 1.6, yaw, p.soil.z)
    for a in np.arange(2.4, cell.length - 1.2, 2.5):
        cell.add(furniture.barrier(rng), "movable_object.barrier", a, 0.05, np.pi / 2 + rng.normal(scale=0.04))
    for a in (0.3, 0.9, cell.length - 1.0, cell.length - 0.3):
        cell.add(furniture.cone(rng), "movable_object.trafficcone", a, rng.uniform(-0.1, 0.3))
    for _ in range(2):
        cell.pedestrian(rng.uniform(0.8, cell.length - 0.8), rng.uniform(2.9, 3.6), p.walk.z, worker=True)


def _cycles(cell: Cell) -> None:
    p, rng = cell.palette, cell.rng
    ground = p.walk if rng.random() < 0.5 else p.cobbles
    _sidewalk(cell, ground)
    middle = cell.length * rng.uniform(0.45, 0.55)
    swap = rng.random() < 0.5
    for index, a in enumerate(np.arange(0.5, cell.length - 0.4, 0.8)):
        turn = rng.choice([-1, 1]) * (np.pi / 2 - rng.uniform(0, 0.35))
        place = (a + rng.normal(scale=0.06), 1.2 + rng.normal(scale=0.1))
        if (a < middle) == swap:
            cell.add(vehicles.bicycle(rng, ridden=False), "vehicle.bicycle", *place, turn, ground.z)
        elif index % 5:
            cell.add(vehicles.motorcycle(rng, ridden=False), "vehicle.motorcycle", *place, turn, ground.z)


def _truck(cell: Cell) -> None:
    ground = cell.palette.road if cell.rng.random() < 0.5 else cell.palette.cobbles
    _sidewalk(cell, ground)
    cell.add(vehicles.truck(cell.rng), "vehicle.truck", cell.length / 2, 1.6, cell.rng.normal(scale=0.03), ground.z)
    for a in (0.3, 0.6, cell.length - 0.6, cell.length - 0.3):
        cell.add(furniture.cone(cell.rng), "movable_object.trafficcone", a, cell.rng.uniform(0.2, 1.6), 0.0, ground.z)


def _trailer(cell: Cell) -> None:
    ground = cell.palette.soil if cell.rng.random() < 0.4 else cell.palette.cobbles
    _sidewalk(cell, ground)
    cell.add(vehicles.trailer(cell.rng), "vehicle.trailer", cell.length / 2, 1.6, cell.rng.normal(scale=0.03), ground.z)


def _plaza(cell: Cell) -> None:
    p, rng = cell.palette, cell.rng
    cell.lay(p.walk, (0, KERB_M + WALK_M))
    for _ in range(rng.integers(7, 11)):
        cell.pedestrian(*cell.place(0.4, 4.8), p.walk.z)
    middle = cell.length * rng.uniform(0.4, 0.6)
    for a in (middle - 1.2, middle + 1.2):
        cell.add(furniture.barrier(rng), "movable_object.barrier", a, 0.4, np.pi / 2 + rng.normal(scale=0.05), p.walk.z)
    for a in (0.5, 1.3, middle - 2.8, middle + 2.8, cell.length - 1.3, cell.length - 0.5):
        cell.add(furniture.cone(rng), "movable_object.trafficcone", a, 0.35 + rng.normal(scale=0.08), 0, p.walk.z)
    cell.add(furniture.bench(rng), "static.manmade", *cell.place(3.5, 5.0), 0, p.walk.z)
    _front(cell, KERB_M + WALK_M)


def _side_street(cell: Cell) -> None:
    """A road that leads away, closed with barriers and cones."""
    p, rng = cell.palette, cell.rng
    cell.lay(p.road, (0, 45))
    for a in (0.22, 0.5, 0.78):
        cell.add(furniture.barrier(rng), "movable_object.barrier", a * cell.length, 2.4 + rng.normal(scale=0.2), 0.0)
    for a in (0.1, 0.36, 0.64, 0.9):
        cell.add(furniture.cone(rng), "movable_object.trafficcone", a * cell.length, 1.4 + rng.normal(scale=0.2))
    cell.add(vehicles.car(rng), "vehicle.car", 0.7 * cell.length, 10.0, np.pi / 2)
    cell.add(vehicles.car(rng), "vehicle.car", 0.3 * cell.length, 18.0, -np.pi / 2)
    for _ in range(rng.integers(2, 5)):
        cell.pedestrian(*cell.place(3.2, 7.0), 0.0)
    cell.add(furniture.building(14.0, 8.0, rng), "static.manmade", cell.length / 2, 45.0, np.pi)


def _verge(cell: Cell) -> None:
    p, rng = cell.palette, cell.rng
    ground = p.grass if rng.random() < 0.6 else p.island
    _sidewalk(cell, ground)
    cell.add(furniture.tree(rng), "static.vegetation", cell.length / 2, 1.4, 0, ground.z)
    for _ in range(2):
        cell.add(furniture.bush(rng), "static.vegetation", *cell.place(0.9, 2.0), 0, ground.z)


_KINDS: tuple[tuple[float, Callable[[Cell], None]], ...] = (
    (11.0, _cars), (13.5, _bus_stop), (10.5, _works), (8.0, _cycles), (10.0, _truck), (9.0, _plaza), (10.5, _cars),
    (12.0, _trailer), (8.0, _cycles), (8.5, _side_street), (7.0, _verge),
)  # fmt: skip
