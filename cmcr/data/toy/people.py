"""People of the toy city, on foot and in the saddle."""

from __future__ import annotations

import numpy as np

from cmcr.data.toy import colours as c
from cmcr.data.toy.geometry import Mesh, box, ellipsoid, join, paint, tube
from cmcr.data.toy.materials import Material


def pedestrian(rng: np.random.Generator, *, height: float, worker: bool = False, walks: bool = False) -> Mesh:
    """A person of ``height`` metres who stands or is caught in a step, now and then with a bag.

    Args:
        rng: draws build, pose and clothes.
        height: metres.
        worker: in a high-visibility vest and a helmet.
        walks: legs apart.
    """
    k = height / 1.75
    top, trousers = c.cloth_colour(rng), c.cloth_colour(rng)
    if worker:
        top = c.vary(c.ORANGE if rng.random() < 0.6 else (0.80, 0.85, 0.15), rng)
    stride = rng.uniform(0.2, 0.35) * k if walks else rng.uniform(0.0, 0.08)
    build = rng.uniform(0.9, 1.15)
    legs = [
        tube(
            (sign * stride, -sign * 0.1 * k, 0.0),
            (0, -sign * 0.09 * k, 0.88 * k),
            0.075 * k * build,
            0.1 * k * build,
            6,
        )
        for sign in (-1, 1)
    ]
    trunk = ellipsoid((0, 0, 1.15 * k), (0.16 * k * build, 0.24 * k * build, 0.38 * k), 8, 4)
    swing = rng.uniform(0.1, 0.3) if walks else rng.uniform(-0.05, 0.25)
    arms = [
        tube(
            (0, sign * 0.25 * k * build, 1.42 * k),
            (sign * swing * k, sign * 0.29 * k * build, 0.85 * k),
            0.06 * k,
            sides=5,
        )
        for sign in (-1, 1)
    ]
    parts = [
        paint(np.concatenate(legs), Material.CLOTH, trousers, c.vary(trousers, rng)),
        paint(np.concatenate([trunk, *arms]), Material.CLOTH, top, c.vary(top, rng, 0.1)),
        _head(rng, 1.62 * k, 0.0, k, helmet=worker),
    ]
    if worker:
        belt = tube((0, 0, 1.0 * k), (0, 0, 1.12 * k), 0.27 * k * build, sides=8)
        parts.append(paint(belt, Material.SIGN, (0.85, 0.87, 0.82)))
    elif rng.random() < 0.35:
        bag = box((-0.34, -0.12), (-0.16, 0.16), (1.0 * k, 1.42 * k))
        parts.append(paint(bag, Material.CLOTH, c.cloth_colour(rng)))
    return join(parts)


def rider(rng: np.random.Generator, *, seat: float, hands: tuple[float, float], helmet: bool) -> Mesh:
    """A person in the saddle at height ``seat``, with the hands on a bar at x, z = ``hands``."""
    top, trousers = c.cloth_colour(rng), c.cloth_colour(rng)
    hip, neck = (-0.25, 0.0, seat), (-0.02, 0.0, seat + 0.55)
    legs = []
    for sign in (-1, 1):
        knee = (0.12, sign * 0.14, seat - 0.22)
        legs += [
            tube((hip[0], sign * 0.1, seat), knee, 0.1, 0.08, 6),
            tube(knee, (-0.02, sign * 0.14, 0.25), 0.08, 0.06, 6),
        ]
    arms = [tube((-0.05, s * 0.2, seat + 0.48), (hands[0], s * 0.26, hands[1]), 0.06, sides=5) for s in (-1, 1)]
    trunk = [tube(hip, neck, 0.19, 0.2, 8)]
    return join(
        [
            paint(np.concatenate(legs), Material.CLOTH, trousers, c.vary(trousers, rng)),
            paint(np.concatenate([*trunk, *arms]), Material.CLOTH, top, c.vary(top, rng, 0.1)),
            _head(rng, seat + 0.76, 0.05, 1.0, helmet=helmet),
        ]
    )


def _head(rng: np.random.Generator, z: float, x: float, scale: float, *, helmet: bool) -> Mesh:
    face = paint(
        ellipsoid((x, 0, z), (0.11 * scale, 0.09 * scale, 0.13 * scale), 7, 4), Material.SKIN, c.skin_colour(rng)
    )
    if helmet:
        cover = paint(ellipsoid((x, 0, z + 0.05), (0.15, 0.14, 0.12), 7, 4), Material.PAINT, c.paint_colour(rng))
    else:
        hair = c.vary([(0.08, 0.06, 0.05), (0.30, 0.20, 0.10), (0.55, 0.45, 0.28)][rng.integers(3)], rng)
        cover = paint(
            ellipsoid((x - 0.03, 0, z + 0.04), (0.11 * scale, 0.10 * scale, 0.11 * scale), 7, 4), Material.CLOTH, hair
        )
    return join([face, cover])
