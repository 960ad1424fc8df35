"""Patterns of the materials, as tiles that repeat without a seam, in a pyramid of resolutions.

A pattern says for each place of its tile how much of the mesh's second colour shows (`mix`) and how bright it is
(`shade`), so that one pattern serves surfaces of all colours, and no pattern gives its class away by a hue of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cmcr.data.toy.materials import PROPERTIES, Material

#: Texels along a side of the finest tile.
TILE = 128

LEVELS = 8  # TILE, TILE / 2, ..., 1

Map = NDArray[np.float64]
Pattern = tuple[Map, Map]


@lru_cache(maxsize=1)
def atlas() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return all tiles: (T, 2) texels, mix and shade, and (M, L) where the tile of a material and a level begins.

    A tile of side n is stored row by row: texel (row, column) stands at its beginning plus n * row + column.
    """
    texels, starts, total = [], np.zeros((len(Material), LEVELS), np.int64), 0
    for material in Material:
        rng = np.random.default_rng([20240607, material])
        mix, shade = _PATTERNS[material](rng)
        tile = np.stack([np.broadcast_to(mix, (TILE, TILE)), np.broadcast_to(shade, (TILE, TILE))], 2)
        for level in range(LEVELS):
            starts[material, level] = total
            texels.append(tile.reshape(-1, 2))
            total += len(texels[-1])
            half = len(tile) // 2
            tile = tile.reshape(half, 2, half, 2, 2).mean((1, 3)) if half else tile
    return np.concatenate(texels).astype(np.float32), starts


def _noise(rng: np.random.Generator, size_m: float, tile_m: float) -> Map:
    """Return smooth noise of mean 0 and standard deviation 1 with spots of about ``size_m``; its edges meet."""
    frequency = np.fft.fftfreq(TILE, tile_m / TILE)
    radius = np.hypot(frequency[:, None], frequency)
    filtered = np.fft.ifft2(np.fft.fft2(rng.normal(size=(TILE, TILE))) * np.exp(-((radius * size_m * 2) ** 2))).real
    filtered -= filtered.mean()
    return filtered / filtered.std()


def _grid(tile_m: float) -> tuple[Map, Map]:
    """Return the places u along the tile's columns and v along its rows, in metres."""
    centres = (np.arange(TILE) + 0.5) * (tile_m / TILE)
    u, v = np.meshgrid(centres, centres)
    return u, v


def _flat(grain: float, spots: float = 0.0, size_m: float = 0.5) -> Callable[[Material], Callable]:
    """Even colour with fine grain and soft spots, both as deviations of brightness."""

    def of(material: Material) -> Callable[[np.random.Generator], Pattern]:
        def pattern(rng: np.random.Generator) -> Pattern:
            tile_m = PROPERTIES[material].tile_m
            shade = 1 + grain * rng.normal(size=(TILE, TILE)) + spots * _noise(rng, size_m, tile_m)
            return np.zeros(()), shade

        return pattern

    return of


def _asphalt(rng: np.random.Generator) -> Pattern:
    cracks = np.abs(_noise(rng, 0.7, 4.0)) < 0.03
    shade = 1 + 0.10 * rng.normal(size=(TILE, TILE)) + 0.06 * _noise(rng, 0.6, 4.0)
    return 0.5 * cracks, shade * (1 - 0.25 * cracks)


def _blocks(rng: np.random.Generator, tile_m: float, width: float, height: float, joint: float) -> tuple[Map, Map]:
    """Return where joints are and the shade of each block, for rows of blocks shifted by half a block."""
    u, v = _grid(tile_m)
    row = np.floor(v / height).astype(int)
    shifted = (u + 0.5 * width * (row % 2)) % tile_m
    column = np.floor(shifted / width).astype(int)
    joints = ((shifted % width) < joint) | ((v % height) < joint)
    shades = rng.normal(size=(row.max() + 1, column.max() + 1))
    return joints.astype(float), shades[row, column]


def _paving(rng: np.random.Generator) -> Pattern:
    joints, blocks = _blocks(rng, 2.4, 0.6, 0.6, 0.05)
    return 0.8 * joints, 1 + 0.07 * blocks + 0.04 * rng.normal(size=(TILE, TILE)) - 0.35 * joints


def _cobbles(rng: np.random.Generator) -> Pattern:
    joints, blocks = _blocks(rng, 1.6, 0.2, 0.2, 0.05)
    return 0.9 * joints, 1 + 0.20 * blocks - 0.4 * joints


def _grass(rng: np.random.Generator) -> Pattern:
    dry = np.clip(0.5 + 0.45 * _noise(rng, 0.5, 4.0), 0, 1)
    blades = _noise(rng, 0.05, 4.0)
    return 0.7 * dry, 1 + 0.24 * blades + 0.1 * _noise(rng, 0.25, 4.0)


def _soil(rng: np.random.Generator) -> Pattern:
    stones = _noise(rng, 0.08, 3.0) > 1.6
    return 0.7 * stones, 1 + 0.13 * _noise(rng, 0.1, 3.0) + 0.12 * _noise(rng, 0.6, 3.0)


def _window(tile_m: float) -> tuple[Map, Map]:
    """Return glass and frame of one window in a tile of one storey."""
    u, v = _grid(tile_m)
    x, y = np.abs(u - tile_m / 2), np.abs(v - 0.55 * tile_m)
    glass = (x < 0.70) & (y < 0.80) & (x > 0.04)
    frame = (x < 0.85) & (y < 0.95) & ~glass
    return glass.astype(float), frame.astype(float)


def _plaster(rng: np.random.Generator) -> Pattern:
    glass, frame = _window(3.2)
    return glass, 1 + 0.03 * rng.normal(size=(TILE, TILE)) + 0.02 * _noise(rng, 0.8, 3.2) + 0.2 * frame


def _brick(rng: np.random.Generator) -> Pattern:
    glass, frame = _window(3.2)
    joints, blocks = _blocks(rng, 3.2, 0.4, 0.16, 0.03)
    return np.maximum(glass, 0.15 * joints), 1 + (1 - glass) * (0.14 * blocks - 0.25 * joints) + 0.3 * frame


def _bark(rng: np.random.Generator) -> Pattern:
    streaks = _noise(rng, 0.04, 1.0).mean(0)
    return np.zeros(()), 1 + 0.3 * streaks / streaks.std() * 0.6 + 0.1 * rng.normal(size=(TILE, TILE))


def _leaves(rng: np.random.Generator) -> Pattern:
    return np.clip(0.4 + 0.5 * _noise(rng, 0.1, 1.5), 0, 1), 1 + 0.32 * _noise(rng, 0.06, 1.5)


def _cloth(rng: np.random.Generator) -> Pattern:
    return np.clip(0.25 * _noise(rng, 0.06, 1.0), 0, 0.5), 1 + 0.08 * _noise(rng, 0.1, 1.0)


def _stripes(_: np.random.Generator) -> Pattern:
    u, v = _grid(0.8)
    return (((u + v) % 0.4) < 0.2).astype(float), np.ones(())


def _bands(_: np.random.Generator) -> Pattern:
    v = _grid(0.5)[1]
    return ((v % 0.25) < 0.11).astype(float), np.ones(())


def _ribs(rng: np.random.Generator) -> Pattern:
    u, _ = _grid(1.0)
    return np.zeros(()), 1 + 0.18 * np.sin(u * 2 * np.pi / 0.25) + 0.03 * rng.normal(size=(TILE, TILE))


def _planks(rng: np.random.Generator) -> Pattern:
    u, _ = _grid(1.5)
    gaps = (u % 0.15) < 0.03
    shades = rng.normal(size=10)[np.floor(u / 0.15).astype(int) % 10]
    return 0.6 * gaps, 1 + 0.15 * shades + 0.06 * rng.normal(size=(TILE, TILE)) - 0.3 * gaps


_PATTERNS: dict[Material, Callable[[np.random.Generator], Pattern]] = {
    Material.ASPHALT: _asphalt,
    Material.MARKING: _flat(0.06, 0.10, 0.2)(Material.MARKING),
    Material.CONCRETE: _flat(0.05, 0.025)(Material.CONCRETE),
    Material.PAVING: _paving,
    Material.COBBLES: _cobbles,
    Material.GRASS: _grass,
    Material.PLASTER: _plaster,
    Material.BRICK: _brick,
    Material.ROOF: _flat(0.08, 0.08)(Material.ROOF),
    Material.GLASS: _flat(0.02, 0.15, 1.0)(Material.GLASS),
    Material.PAINT: _flat(0.01, 0.04, 1.0)(Material.PAINT),
    Material.METAL: _flat(0.04, 0.03)(Material.METAL),
    Material.RUBBER: _flat(0.08)(Material.RUBBER),
    Material.BARK: _bark,
    Material.LEAVES: _leaves,
    Material.CLOTH: _cloth,
    Material.SKIN: _flat(0.04)(Material.SKIN),
    Material.STRIPES: _stripes,
    Material.BANDS: _bands,
    Material.RIBS: _ribs,
    Material.PLANKS: _planks,
    Material.SIGN: _flat(0.02)(Material.SIGN),
    Material.SOIL: _soil,
}
