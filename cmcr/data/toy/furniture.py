"""What stands along the streets of the toy city: road works, signs, fences, plants and buildings."""

from __future__ import annotations

import numpy as np

from cmcr.data.toy import colours as c
from cmcr.data.toy.geometry import Mesh, box, ellipsoid, join, leaves, paint, prism, tube
from cmcr.data.toy.materials import Material


def cone(rng: np.random.Generator) -> Mesh:
    """A traffic cone: a square foot and a banded frustum."""
    height, radius = rng.uniform(0.65, 0.95), rng.uniform(0.17, 0.22)
    ground, band = c.warning_colours(rng)
    foot = box((-1.2 * radius, 1.2 * radius), (-1.2 * radius, 1.2 * radius), (0.0, 0.06))
    return join(
        [
            paint(foot, Material.RUBBER, c.vary((0.15, 0.13, 0.12), rng)),
            paint(tube((0, 0, 0.05), (0, 0, height), radius, 0.06, 8), Material.BANDS, ground, band),
        ]
    )


def barrier(rng: np.random.Generator) -> Mesh:
    """A road barrier across x: a concrete or plastic wall with a broad foot, or two striped boards on posts."""
    half, height = rng.uniform(0.9, 1.1), rng.uniform(0.9, 1.15)
    ground, stripe = c.warning_colours(rng)
    if rng.random() < 0.5:
        outline = [(-0.3, 0), (0.3, 0), (0.26, 0.2), (0.1, 0.45), (0.08, height), (-0.08, height), (-0.1, 0.45)]
        wall = prism([*outline, (-0.26, 0.2)], [half] * 8, [-half] * 8)
        if rng.random() < 0.4:
            return paint(wall, Material.CONCRETE, c.vary((0.55, 0.54, 0.52), rng))
        return paint(wall, Material.STRIPES, ground, stripe)
    boards = [box((-0.05, 0.05), (-half, half), (z, z + 0.25)) for z in (0.45 * height, height - 0.27)]
    posts = [box((-0.06, 0.06), (y - 0.06, y + 0.06), (0.0, height)) for y in (-0.8 * half, 0.8 * half)]
    feet = [box((-0.35, 0.35), (y - 0.1, y + 0.1), (0.0, 0.08)) for y in (-0.8 * half, 0.8 * half)]
    return join(
        [
            paint(np.concatenate(boards), Material.STRIPES, ground, stripe),
            paint(np.concatenate(posts + feet), Material.RUBBER, (0.2, 0.2, 0.2)),
        ]
    )


def tree(rng: np.random.Generator) -> Mesh:
    """A trunk with limbs under a crown of loose leaves."""
    height, radius = rng.uniform(4.5, 8.5), rng.uniform(1.3, 2.4)
    foliage, trunk = c.foliage_colour(rng), c.vary((0.32, 0.25, 0.19), rng, 0.08)
    base = rng.uniform(1.8, 2.6)
    lean = rng.normal(scale=0.25, size=2)
    wood = [tube((0, 0, 0), (*lean, base + 0.5), rng.uniform(0.14, 0.24), 0.11, 7)]
    wood += [
        tube((*lean, base), (*(lean + rng.normal(scale=0.8, size=2)), base + 1.8), 0.08, 0.03, 5) for _ in range(3)
    ]
    crown = leaves((*lean, (base + height) / 2), (radius, radius, (height - base) / 2), 260, 0.55, rng)
    return join(
        [
            paint(np.concatenate(wood), Material.BARK, trunk),
            paint(crown, Material.LEAVES, foliage, c.vary(foliage, rng, 0.15)),
        ]
    )


def bush(rng: np.random.Generator) -> Mesh:
    """A low ball of leaves."""
    radii = rng.uniform((0.5, 0.5, 0.4), (1.0, 1.0, 0.8))
    colour = c.foliage_colour(rng)
    crown = leaves((0, 0, 0.8 * radii[2]), radii, 90, 0.3, rng)
    core = ellipsoid((0, 0, 0.7 * radii[2]), 0.75 * radii, 7, 4)
    return paint(np.concatenate([crown, core]), Material.LEAVES, colour, c.vary(colour, rng, 0.15))


def hedge(length: float, rng: np.random.Generator) -> Mesh:
    """A row of leaves along x."""
    colour, height = c.foliage_colour(rng), rng.uniform(0.7, 1.3)
    core = box((-length / 2, length / 2), (-0.25, 0.25), (0.0, 0.85 * height))
    cover = leaves((0, 0, height / 2), (length / 2, 0.42, height / 2), int(35 * length), 0.28, rng)
    return paint(np.concatenate([core, cover]), Material.LEAVES, colour, c.vary(colour, rng, 0.15))


def pole(rng: np.random.Generator) -> Mesh:
    """A street lamp, its arm towards +x."""
    height = rng.uniform(5.0, 7.5)
    parts = [
        tube((0, 0, 0), (0, 0, height), 0.11, 0.07, 7),
        tube((0, 0, height), (1.4, 0, height + 0.2), 0.05, sides=5),
    ]
    return join(
        [
            paint(np.concatenate(parts), Material.METAL, c.vary(c.STEEL, rng, 0.1)),
            paint(box((1.1, 1.7), (-0.12, 0.12), (height + 0.1, height + 0.22)), Material.METAL, c.STEEL),
        ]
    )


def sign(rng: np.random.Generator) -> Mesh:
    """A round or square sign on a post, facing +x."""
    height, colour = rng.uniform(2.1, 2.6), [c.RED, (0.10, 0.22, 0.55), c.WHITE, (0.85, 0.7, 0.1)][rng.integers(4)]
    post = paint(tube((0, 0, 0), (0, 0, height), 0.045, sides=6), Material.METAL, c.STEEL)
    if rng.random() < 0.5:
        board = tube((0.06, 0, height - 0.3), (0.09, 0, height - 0.3), 0.33, sides=12)
    else:
        board = box((0.06, 0.09), (-0.32, 0.32), (height - 0.6, height))
    return join([post, paint(board, Material.SIGN, c.vary(colour, rng))])


def fence(length: float, rng: np.random.Generator) -> Mesh:
    """Slats and rails along x."""
    height, step = rng.uniform(0.9, 1.4), 0.35
    slats = [box((x, x + 0.12), (-0.03, 0.03), (0.05, height)) for x in np.arange(-length / 2, length / 2, step)]
    rails = [box((-length / 2, length / 2), (-0.05, 0.05), (z, z + 0.1)) for z in (0.3 * height, 0.8 * height)]
    material = Material.PLANKS if rng.random() < 0.6 else Material.METAL
    return paint(np.concatenate(slats + rails), material, c.wall_colour(rng))


def shelter(rng: np.random.Generator) -> Mesh:
    """A bus shelter, open towards +y, with a bench."""
    glass = [box((-1.9, 1.9), (-0.65, -0.6), (0.3, 2.2)), box((-1.95, -1.9), (-0.65, 0.5), (0.3, 2.2))]
    posts = [box((x, x + 0.1), (y, y + 0.1), (0, 2.4)) for x in (-1.95, 1.85) for y in (-0.65, 0.45)]
    roof = box((-2.1, 2.1), (-0.8, 0.8), (2.4, 2.52))
    bench = [box((-1.2, 1.2), (-0.5, -0.1), (0.42, 0.5)), box((-0.9, -0.8), (-0.5, -0.1), (0, 0.42))]
    board = box((1.7, 1.8), (-0.55, 0.4), (0.5, 2.1))
    return join(
        [
            paint(np.concatenate(glass), Material.GLASS, (0.35, 0.40, 0.42)),
            paint(np.concatenate([*posts, roof]), Material.METAL, c.vary(c.STEEL, rng, 0.1)),
            paint(np.concatenate(bench), Material.PLANKS, (0.42, 0.32, 0.22)),
            paint(board, Material.PAINT, c.paint_colour(rng)),
        ]
    )


def bench(rng: np.random.Generator) -> Mesh:
    """A park bench or a stone block."""
    if rng.random() < 0.4:
        return paint(box((-0.9, 0.9), (-0.3, 0.3), (0, 0.5)), Material.CONCRETE, c.wall_colour(rng))
    planks = np.concatenate([box((-0.8, 0.8), (-0.25, 0.2), (0.4, 0.46)), box((-0.8, 0.8), (-0.3, -0.25), (0.5, 0.9))])
    legs = np.concatenate([box((x, x + 0.08), (-0.25, 0.2), (0, 0.4)) for x in (-0.7, 0.62)])
    return join([paint(planks, Material.PLANKS, c.wall_colour(rng)), paint(legs, Material.METAL, c.STEEL)])


def building(length: float, depth: float, rng: np.random.Generator) -> Mesh:
    """A house along x whose front stands at y = 0 and looks towards -y; storeys of 3.2 m with windows."""
    height = 3.2 * rng.integers(2, 7)
    wall, glass = c.wall_colour(rng), c.vary((0.16, 0.20, 0.25), rng, 0.08)
    material = [Material.PLASTER, Material.BRICK, Material.CONCRETE][rng.choice(3, p=[0.45, 0.4, 0.15])]
    body = box((-length / 2, length / 2), (0, depth), (0, height))
    trim = c.wall_colour(rng)
    parts = [paint(body, material, wall, glass)]
    parts.append(paint(box((-length / 2, length / 2), (-0.12, 0.1), (0, 0.5)), Material.CONCRETE, trim))
    parts.append(paint(box((-length / 2, length / 2), (-0.3, 0.1), (height, height + 0.4)), Material.ROOF, trim))
    door = rng.uniform(-0.3, 0.3) * length
    parts.append(paint(box((door - 0.6, door + 0.6), (-0.08, 0), (0, 2.3)), Material.PLANKS, c.paint_colour(rng)))
    if rng.random() < 0.5:  # a shop on the ground floor
        parts.append(paint(box((door + 1.0, door + 4.0), (-0.06, 0), (0.6, 2.5)), Material.GLASS, c.DARK_GLASS))
        awning = prism(
            [(door + 0.9, 2.7), (door + 4.1, 2.7), (door + 4.1, 2.9), (door + 0.9, 2.9)], [-0.02] * 4, [-1.2] * 4
        )
        parts.append(paint(awning, Material.CLOTH, c.paint_colour(rng)))
    if rng.random() < 0.6:  # balconies
        for storey in range(1, int(height / 3.2)):
            x = rng.uniform(-0.4, 0.2) * length
            parts.append(
                paint(box((x, x + 2.0), (-0.9, 0), (3.2 * storey - 0.1, 3.2 * storey + 0.9)), Material.CONCRETE, trim)
            )
    return join(parts)
