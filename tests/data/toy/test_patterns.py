"""The pyramids of tiles that surfaces are papered with."""

from __future__ import annotations

import numpy as np
import pytest

from cmcr.data.toy.materials import PROPERTIES, Material
from cmcr.data.toy.patterns import LEVELS, TILE, atlas


def tile(material: Material, level: int) -> np.ndarray:
    texels, starts = atlas()
    side = TILE >> level
    return texels[starts[material, level] :][: side * side].reshape(side, side, 2)


@pytest.mark.parametrize("material", list(Material))
def test_each_level_is_the_mean_of_the_finer_one(material: Material) -> None:
    assert tile(material, LEVELS - 1).shape == (1, 1, 2)
    for level in range(1, LEVELS):
        finer = tile(material, level - 1)
        mean = (finer[::2, ::2] + finer[1::2, ::2] + finer[::2, 1::2] + finer[1::2, 1::2]) / 4
        np.testing.assert_allclose(tile(material, level), mean, atol=1e-5)


@pytest.mark.parametrize("material", list(Material))
def test_patterns_neither_tint_nor_dim_a_surface_much(material: Material) -> None:
    mix, shade = tile(material, LEVELS - 1)[0, 0]
    assert 0 <= mix <= 0.55
    assert 0.6 < shade < 1.15


@pytest.mark.parametrize("material", [Material.PAVING, Material.COBBLES])
def test_rows_of_stones_meet_at_the_seam(material: Material) -> None:
    """A tile's last row borders on its first: joints must neither double nor vanish there."""
    shade = tile(material, 0)[..., 1].mean(1)
    joints = shade < shade.mean() - shade.std()
    runs = np.flatnonzero(np.diff(np.concatenate([joints[-1:], joints]).astype(int)) == 1)
    spacing = np.diff(np.concatenate([runs, runs[:1] + TILE]))
    assert len(runs) >= 3
    assert np.ptp(spacing) <= 2


def test_the_kinds_of_ground_differ_in_texture_not_only_in_colour() -> None:
    ground = (Material.ASPHALT, Material.PAVING, Material.COBBLES, Material.GRASS)
    # Contrast within a few centimetres and within half a metre, at the same scale in metres.
    measures = []
    for material in ground:
        shade = tile(material, 0)[..., 1]
        texel = PROPERTIES[material].tile_m / TILE
        far = max(1, round(0.3 / texel))
        measures.append([np.abs(shade - np.roll(shade, step, 1)).mean() for step in (1, far)])
    distances = np.linalg.norm(np.array(measures)[:, None] - np.array(measures), axis=2)
    assert distances[~np.eye(len(ground), dtype=bool)].min() > 0.015
