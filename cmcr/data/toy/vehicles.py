"""Vehicles of the toy city: each call draws another size, shape and colour of its kind.

Bodies stand in their own frame, x forward, y left, z up, origin on the ground below the middle; metres.
"""

from __future__ import annotations

import numpy as np

from cmcr.data.toy import colours as c
from cmcr.data.toy.geometry import Colour, Mesh, box, f32, fan, hoop, join, paint, prism, tube
from cmcr.data.toy.materials import Material
from cmcr.data.toy.people import rider


def _wheels(axles: list[float], half_width: float, radius: float, breadth: float = 0.25) -> Mesh:
    parts = []
    for x in axles:
        for side in (-1, 1):
            outer, inner = side * half_width, side * (half_width - breadth)
            parts.append(paint(tube((x, inner, radius), (x, outer, radius), radius, sides=10), Material.RUBBER, c.TYRE))
            angle = np.arange(8) * (np.pi / 4)
            hub = f32([x, outer + side * 0.01, radius]) + 0.55 * radius * f32(
                np.stack([np.cos(angle), np.zeros(8), np.sin(angle)], 1)
            )
            parts.append(paint(fan(hub), Material.METAL, c.STEEL))
    return join(parts)


def _lamps(front: float, back: float, half_width: float, height: float) -> Mesh:
    parts = []
    for side in (-1, 1):
        y = sorted((side * half_width, side * (half_width - 0.35)))
        z = (height, height + 0.16)
        parts.append(paint(box((front - 0.05, front + 0.02), (y[0], y[1]), z), Material.SIGN, c.LAMP_WHITE))
        parts.append(paint(box((back - 0.02, back + 0.05), (y[0], y[1]), z), Material.SIGN, c.LAMP_RED))
    return join(parts)


def _windows(x: tuple[float, float], half_width: float, z: tuple[float, float]) -> Mesh:
    """Panes along both sides, slightly proud of the body."""
    band = box(x, (-half_width - 0.02, half_width + 0.02), z)
    return paint(band, Material.GLASS, c.DARK_GLASS)


def car(rng: np.random.Generator) -> Mesh:
    """A saloon, estate car, hatchback, jeep or van."""
    kind = rng.choice(["saloon", "estate", "hatchback", "jeep", "van"], p=[0.3, 0.2, 0.2, 0.2, 0.1])
    length, width, height = {
        "saloon": (4.7, 1.8, 1.42), "estate": (4.7, 1.8, 1.48), "hatchback": (4.0, 1.72, 1.5),
        "jeep": (4.6, 1.9, 1.75), "van": (5.1, 1.95, 2.0),
    }[kind] * rng.uniform(0.95, 1.05, 3)  # fmt: skip
    belt, clearance, half = 0.58 * height, 0.22, width / 2
    front, back = length / 2, -length / 2
    bonnet = {"van": 0.10, "jeep": 0.23}.get(kind, 0.26) * length
    boot = {"saloon": 0.17, "hatchback": 0.04}.get(kind, 0.02) * length
    colour = c.paint_colour(rng)
    body = [
        (back, clearance + 0.1), (back + 0.1, clearance), (front - 0.1, clearance), (front, clearance + 0.15),
        (front - 0.05, 0.8 * belt), (front - bonnet, belt), (back + 0.05, belt),
    ]  # fmt: skip
    cabin = [
        (front - bonnet - 0.02, belt), (front - bonnet - 0.33 * height, height),
        (back + boot + 0.25, height), (back + boot * 0.7, belt),
    ]  # fmt: skip
    slope = [0.93 * half, 0.78 * half, 0.78 * half, 0.93 * half]
    roof = box((cabin[2][0] + 0.05, cabin[1][0] - 0.05), (-0.74 * half, 0.74 * half), (height - 0.05, height + 0.02))
    pillar_x = (cabin[1][0] + cabin[2][0]) / 2
    pillar = prism(
        [(pillar_x - 0.06, belt), (pillar_x + 0.06, belt), (pillar_x + 0.06, height), (pillar_x - 0.06, height)],
        [s * half for s in (0.95, 0.95, 0.8, 0.8)],
        [-s * half for s in (0.95, 0.95, 0.8, 0.8)],
    )
    painted = np.concatenate([prism(body, [half] * 7, [-half] * 7), roof, pillar])
    return join(
        [
            paint(painted, Material.PAINT, colour),
            paint(prism(cabin, slope, [-s for s in slope]), Material.GLASS, c.DARK_GLASS),
            _wheels([0.31 * length, -0.31 * length], half + 0.02, 0.32 * rng.uniform(0.95, 1.15)),
            _lamps(front, back, half - 0.05, 0.62 * belt),
        ]
    )


def _cab(front: float, half: float, height: float, colour: Colour, depth: float = 2.0) -> Mesh:
    """A lorry's cab with its windscreen; its back wall stands at ``front`` - ``depth``."""
    outline = [
        (front - depth, 0.5), (front, 0.5), (front + 0.02, 0.5 * height), (front - 0.25, height),
        (front - depth, height),
    ]  # fmt: skip
    screen = box((front - 0.22, front + 0.04), (-0.88 * half, 0.88 * half), (0.52 * height, 0.86 * height))
    return join(
        [
            paint(prism(outline, [half] * 5, [-half] * 5), Material.PAINT, colour),
            paint(screen, Material.GLASS, c.DARK_GLASS),
            _windows((front - 0.6 * depth, front - 0.3), half, (0.55 * height, 0.85 * height)),
        ]
    )


def truck(rng: np.random.Generator) -> Mesh:
    """A box lorry, a tipper or a pick-up: a cab, a gap, and what is carried behind it."""
    kind = rng.choice(["box", "tipper", "flatbed"], p=[0.5, 0.25, 0.25])
    length, half, height = rng.uniform(6.0, 8.5), rng.uniform(1.1, 1.25), rng.uniform(2.3, 2.7)
    front, back = length / 2, -length / 2
    deck = (back, front - 2.3)
    load_colour = c.wall_colour(rng) if rng.random() < 0.5 else c.vary(c.WHITE, rng)
    parts = [_cab(front, half, height, c.paint_colour(rng)), _lamps(front, back, half - 0.05, 0.75)]
    parts.append(paint(box((back, front - 0.3), (-0.45, 0.45), (0.55, 0.85)), Material.METAL, c.STEEL))
    if kind == "box":
        top = height + rng.uniform(0.5, 0.9)
        parts.append(paint(box(deck, (-half - 0.05, half + 0.05), (0.95, top)), Material.PAINT, load_colour))
        band = box((deck[0] + 0.5, deck[1] - 0.5), (-half - 0.07, half + 0.07), (1.7, 2.2))
        parts.append(paint(band, Material.PAINT, c.paint_colour(rng)))
    elif kind == "tipper":
        outline = [(deck[0] - 0.2, 1.9), (deck[0] + 0.3, 0.95), (deck[1], 0.95), (deck[1], 2.1)]
        parts.append(paint(prism(outline, [half] * 4, [-half] * 4), Material.PAINT, c.paint_colour(rng)))
        ribs = [box((x, x + 0.12), (-half - 0.08, half + 0.08), (1.0, 1.85)) for x in np.arange(*deck, 1.0)[1:]]
        parts.append(paint(np.concatenate(ribs), Material.METAL, c.STEEL))
    else:
        parts.append(paint(box(deck, (-half, half), (0.9, 1.1)), Material.PLANKS, (0.45, 0.35, 0.25)))
        for x in np.arange(deck[0] + 0.8, deck[1] - 0.6, 1.4):
            crate = box((x - 0.55, x + 0.55), (-0.9, 0.9), (1.1, 1.1 + rng.uniform(0.5, 1.2)))
            parts.append(paint(crate, Material.PLANKS, c.wall_colour(rng)))
    parts.append(_wheels([front - 1.1, back + 1.1, back + 2.1], half, 0.48, 0.32))
    return join(parts)


def bus(rng: np.random.Generator) -> Mesh:
    """A city bus: low floor, long rows of panes and doors."""
    length, half, height = rng.uniform(9.5, 12.0), 1.27, rng.uniform(2.95, 3.2)
    front, back = length / 2, -length / 2
    colour, second = c.paint_colour(rng), c.paint_colour(rng)
    outline = [
        (back, 0.35), (front, 0.35), (front + 0.05, 1.2), (front - 0.15, height), (back + 0.1, height), (back, 1.0),
    ]  # fmt: skip
    parts = [paint(prism(outline, [half] * 6, [-half] * 6), Material.PAINT, colour)]
    parts.append(
        paint(box((back + 0.1, front - 0.1), (-half - 0.01, half + 0.01), (0.45, 1.0)), Material.PAINT, second)
    )
    panes = np.arange(back + 0.5, front - 1.4, 1.5)
    parts += [_windows((x, x + 1.3), half, (1.35, 0.86 * height)) for x in panes]
    parts += [_windows((x, x + 1.1), half, (0.5, 0.86 * height)) for x in (front - 1.3, -0.6)]
    parts.append(paint(box((front - 0.1, front + 0.08), (-1.1, 1.1), (1.2, 2.5)), Material.GLASS, c.DARK_GLASS))
    parts.append(paint(box((front - 0.1, front + 0.08), (-0.8, 0.8), (2.55, 2.85)), Material.SIGN, (0.9, 0.6, 0.1)))
    unit = box((-2.5, 1.0), (-0.7, 0.7), (height, height + 0.3))
    parts.append(paint(unit, Material.PAINT, c.vary(c.WHITE, rng)))
    parts += [_lamps(front, back, half - 0.1, 0.7), _wheels([front - 2.4, back + 2.6], half + 0.01, 0.47, 0.3)]
    return join(parts)


def trailer(rng: np.random.Generator) -> Mesh:
    """A semi-trailer without its tractor: a ribbed or planked box on a frame with legs, wheels at the back."""
    length, half = rng.uniform(7.0, 10.0), 1.25
    front, back, top = length / 2, -length / 2, rng.uniform(2.9, 3.7)
    material = Material.RIBS if rng.random() < 0.7 else Material.PLANKS
    parts = [paint(box((back, front), (-half, half), (1.25, top)), material, c.paint_colour(rng))]
    posts = [box((x - 0.08, x + 0.08), (-half - 0.06, half + 0.06), (1.2, top + 0.05)) for x in (back, 0.0, front)]
    parts.append(paint(np.concatenate(posts), Material.METAL, c.STEEL))
    parts.append(paint(box((back, front - 0.3), (-0.5, 0.5), (0.95, 1.25)), Material.METAL, (0.2, 0.2, 0.22)))
    legs = [box((front - 2.2, front - 2.05), (y - 0.08, y + 0.08), (0.0, 1.0)) for y in (-0.8, 0.8)]
    parts.append(paint(np.concatenate(legs), Material.METAL, c.STEEL))
    drawbar = tube((front, 0, 1.0), (front + 0.9, 0, 0.7), 0.08, sides=6)
    parts += [paint(drawbar, Material.METAL, c.STEEL), _lamps(front, back, half - 0.1, 1.0)]
    parts.append(_wheels([back + 0.9, back + 1.9], half, 0.46, 0.3))
    return join(parts)


def excavator(rng: np.random.Generator) -> Mesh:
    """A crawler excavator or a wheel loader with its arm or shovel up front."""
    colour = c.vary([(0.85, 0.62, 0.08), (0.88, 0.45, 0.08), (0.55, 0.56, 0.55)][rng.integers(3)], rng)
    half = rng.uniform(1.1, 1.3)
    house = box((-1.9, 1.0), (-half + 0.1, half - 0.1), (1.05, 2.0))
    cabin = box((-0.4, 0.9), (0.0, half - 0.15), (2.0, 2.95))
    parts = [paint(house, Material.PAINT, colour), paint(cabin, Material.GLASS, c.DARK_GLASS)]
    parts.append(paint(box((-0.5, 1.0), (-0.05, half - 0.1), (2.95, 3.05)), Material.PAINT, colour))
    if rng.random() < 0.6:
        track = [(-1.6, 0.0), (1.6, 0.0), (2.0, 0.45), (1.6, 0.9), (-1.6, 0.9), (-2.0, 0.45)]
        for side in (-1, 1):
            left, right = side * half, side * (half - 0.5)
            parts.append(paint(prism(track, [left] * 6, [right] * 6), Material.RUBBER, (0.14, 0.13, 0.12)))
        reach, lift = rng.uniform(2.6, 3.4), rng.uniform(3.2, 4.2)
        arm = np.concatenate(
            [
                tube((0.8, -0.4, 1.6), (reach, -0.4, lift), 0.22),
                tube((reach, -0.4, lift), (reach + 1.3, -0.4, 1.4), 0.17),
            ]
        )
        shovel = prism(
            [(reach + 0.8, 0.4), (reach + 1.6, 0.2), (reach + 1.7, 1.2), (reach + 1.0, 1.4)], [0.2] * 4, [-1.0] * 4
        )
    else:
        parts.append(_wheels([1.4, -1.4], half + 0.1, 0.7, 0.5))
        arm = np.concatenate([tube((0.9, y, 1.5), (2.9, y, 0.9), 0.14) for y in (-0.6, 0.6)])
        shovel = prism([(2.6, 0.15), (3.7, 0.1), (3.4, 0.5), (2.7, 1.2)], [half + 0.1] * 4, [-half - 0.1] * 4)
    parts += [paint(arm, Material.PAINT, colour), paint(shovel, Material.METAL, (0.32, 0.31, 0.30))]
    return join(parts)


def motorcycle(rng: np.random.Generator, *, ridden: bool) -> Mesh:
    """A motorcycle or scooter: fat wheels, tank, engine and seat."""
    colour, radius, half_base = c.paint_colour(rng), rng.uniform(0.28, 0.33), rng.uniform(0.62, 0.74)
    wheels = [tube((x, -0.08, radius), (x, 0.08, radius), radius, sides=10) for x in (half_base, -half_base)]
    body = [(-0.85, 0.78), (-0.35, 0.38), (0.3, 0.30), (0.45, 0.80), (0.20, 0.98), (-0.3, 0.80)]
    parts = [
        paint(np.concatenate(wheels), Material.RUBBER, c.TYRE),
        paint(prism(body, [0.19] * 6, [-0.19] * 6), Material.PAINT, colour),
        paint(box((-0.75, 0.05), (-0.16, 0.16), (0.78, 0.88)), Material.RUBBER, (0.10, 0.09, 0.09)),
        paint(box((-0.15, 0.35), (-0.24, 0.24), (0.22, 0.55)), Material.METAL, c.STEEL),
        paint(tube((half_base, 0, radius), (0.42, 0, 1.02), 0.09, sides=6), Material.METAL, c.STEEL),
        paint(tube((0.42, -0.38, 1.02), (0.42, 0.38, 1.02), 0.05, sides=6), Material.METAL, (0.2, 0.2, 0.2)),
        paint(box((0.42, 0.62), (-0.16, 0.16), (0.72, 1.10)), Material.PAINT, colour),
    ]
    if ridden:
        parts.append(rider(rng, seat=0.88, hands=(0.45, 1.05), helmet=True))
    return join(parts)


def bicycle(rng: np.random.Generator, *, ridden: bool) -> Mesh:
    """A bicycle: two large thin wheels and a frame of tubes."""
    colour, radius, half_base = c.paint_colour(rng), rng.uniform(0.33, 0.36), rng.uniform(0.50, 0.55)
    wheels = [hoop((x, 0, radius), radius, 0.07, 0.05) for x in (half_base, -half_base)]
    spokes = [tube((x, -0.01, radius), (x, 0.01, radius), 0.55 * radius, sides=8) for x in (half_base, -half_base)]
    crank, seat, head = (-0.08, 0.0, 0.30), (-0.22, 0.0, 0.88), (0.38, 0.0, 0.86)
    bars = [
        (crank, seat),
        (crank, head),
        (seat, head),
        ((-half_base, 0, radius), seat),
        ((-half_base, 0, radius), crank),
    ]
    frame = [tube(a, b, 0.03, sides=5) for a, b in bars]
    frame += [tube((half_base, 0, radius), (0.36, 0, 1.02), 0.03, sides=5)]
    parts = [
        paint(np.concatenate(wheels), Material.RUBBER, c.TYRE),
        paint(np.concatenate(spokes), Material.METAL, c.STEEL),
        paint(np.concatenate(frame), Material.PAINT, colour),
        paint(tube((0.36, -0.28, 1.02), (0.36, 0.28, 1.02), 0.03, sides=5), Material.METAL, (0.2, 0.2, 0.2)),
        paint(box((-0.36, -0.10), (-0.08, 0.08), (0.90, 0.97)), Material.RUBBER, (0.10, 0.09, 0.09)),
    ]
    if not ridden and rng.random() < 0.5:
        parts.append(paint(box((0.42, 0.72), (-0.18, 0.18), (0.78, 1.0)), Material.PLANKS, c.wall_colour(rng)))
    if ridden:
        parts.append(rider(rng, seat=0.97, hands=(0.38, 1.03), helmet=bool(rng.random() < 0.5)))
    return join(parts)
