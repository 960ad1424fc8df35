"""Colours of the toy city. They vary from thing to thing, and those of different classes overlap on purpose: grey is a
car, a road, a wall and a coat, so that only texture and surroundings tell them apart.
"""

from __future__ import annotations

import numpy as np

from cmcr.data.toy.geometry import Colour

DARK_GLASS: Colour = (0.10, 0.13, 0.16)
TYRE: Colour = (0.06, 0.06, 0.07)
STEEL: Colour = (0.45, 0.46, 0.48)
WHITE: Colour = (0.88, 0.88, 0.86)
ORANGE: Colour = (0.92, 0.34, 0.06)
RED: Colour = (0.75, 0.09, 0.08)
LAMP_RED: Colour = (0.65, 0.05, 0.05)
LAMP_WHITE: Colour = (0.95, 0.95, 0.88)

_PAINTS = np.array(
    [
        (0.85, 0.85, 0.84), (0.62, 0.63, 0.65), (0.40, 0.41, 0.43), (0.22, 0.23, 0.25), (0.08, 0.08, 0.09),
        (0.12, 0.20, 0.42), (0.55, 0.10, 0.10), (0.16, 0.32, 0.22), (0.58, 0.50, 0.38), (0.30, 0.42, 0.58),
        (0.72, 0.62, 0.15), (0.38, 0.24, 0.16),
    ]
)  # fmt: skip
_CLOTHES = np.array(
    [
        (0.12, 0.12, 0.15), (0.20, 0.25, 0.42), (0.35, 0.35, 0.36), (0.60, 0.12, 0.14), (0.75, 0.72, 0.66),
        (0.18, 0.35, 0.22), (0.50, 0.36, 0.22), (0.72, 0.55, 0.18), (0.45, 0.22, 0.45), (0.28, 0.50, 0.60),
    ]
)  # fmt: skip
_WALLS = np.array(
    [
        (0.70, 0.66, 0.58), (0.55, 0.34, 0.26), (0.48, 0.47, 0.46), (0.78, 0.76, 0.72), (0.62, 0.52, 0.38),
        (0.40, 0.36, 0.34), (0.58, 0.62, 0.64), (0.72, 0.56, 0.44), (0.36, 0.44, 0.40),
    ]
)  # fmt: skip
_FOLIAGE = np.array(
    [(0.16, 0.30, 0.08), (0.24, 0.38, 0.12), (0.38, 0.40, 0.14), (0.48, 0.36, 0.12), (0.20, 0.26, 0.14)]
)
_SKINS = np.array([(0.80, 0.62, 0.50), (0.62, 0.44, 0.32), (0.38, 0.26, 0.18)])


def vary(colour: Colour, rng: np.random.Generator, spread: float = 0.04) -> Colour:
    """Return a colour near ``colour``, mostly lighter or darker than it."""
    shifted = np.asarray(colour) * rng.uniform(1 - 3 * spread, 1 + 3 * spread) * rng.normal(1.0, spread, size=3)
    red, green, blue = np.clip(shifted, 0.02, 0.95).tolist()
    return red, green, blue


def paint_colour(rng: np.random.Generator) -> Colour:
    """A vehicle's paint."""
    return vary(rng.choice(_PAINTS), rng)


def cloth_colour(rng: np.random.Generator) -> Colour:
    """A piece of clothing."""
    return vary(rng.choice(_CLOTHES), rng, 0.06)


def wall_colour(rng: np.random.Generator) -> Colour:
    """Plaster, bricks or concrete."""
    return vary(rng.choice(_WALLS), rng, 0.06)


def foliage_colour(rng: np.random.Generator) -> Colour:
    """Leaves, from fresh to withered."""
    return vary(rng.choice(_FOLIAGE), rng, 0.06)


def skin_colour(rng: np.random.Generator) -> Colour:
    """Skin."""
    return vary(rng.choice(_SKINS), rng)


def warning_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """The two colours of a cone or a barrier: mostly orange or red with white."""
    ground = (ORANGE, ORANGE, RED, (0.85, 0.65, 0.10))[rng.integers(4)]
    return vary(ground, rng), vary(WHITE, rng)
