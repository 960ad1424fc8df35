from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.losses.superpixel_nce import mean_of_groups, mean_of_pixels, superpixel_groups, superpixel_nce


def invent(images: int, size: tuple[int, int], pairs: int, number: int, channels: int, seed: int) -> list[Tensor]:
    """Return points, the group of each, pixels and superpixels."""
    generator = torch.Generator().manual_seed(seed)
    points = F.normalize(torch.randn(pairs, channels, generator=generator), dim=1)
    pixels = F.normalize(torch.randn(images, channels, *size, generator=generator), dim=1)
    superpixels = torch.randint(number, (images, *size), generator=generator)
    image, row, column = (torch.randint(side, (pairs,), generator=generator) for side in (images, *size))
    return [points, superpixel_groups(image, row.float(), column.float(), superpixels, number), pixels, superpixels]


def slow_loss(points: Tensor, group: Tensor, pixels: Tensor, superpixels: Tensor, number: int, tau: float) -> float:
    """Straight from the equation, one superpixel and one exponential at a time."""
    f, g = [], []
    for s in range(len(superpixels) * number):
        mine = points[group == s]
        if len(mine):
            f.append(mine.mean(dim=0))
            g.append(pixels[s // number][:, superpixels[s // number] == s % number].mean(dim=1))
    total = 0.0
    for i in range(len(f)):
        similar = [math.exp(float(f[i] @ g[j]) / tau) for j in range(len(g))]
        total -= math.log(similar[i] / sum(similar))
    return total / len(f)


def test_equals_the_released_code(shared: Path) -> None:
    with np.load(shared / "fixtures" / "official_losses.npz") as file:
        official = {
            name.removeprefix("superpixel_nce/"): torch.tensor(file[name]) for name in file if "superpixel" in name
        }
    points = official["point_features"].requires_grad_()
    pixels = official["pixel_features"].requires_grad_()
    image, row, column = official["pairing_images"].T
    number = int(official["superpixels_per_image"])
    group = superpixel_groups(image, row.float(), column.float(), official["superpixels"], number)
    tau = float(official["temperature"])
    loss = superpixel_nce(points[official["pairing_points"]], group, pixels, official["superpixels"], number, tau)
    loss.backward()
    assert loss.item() == pytest.approx(float(official["loss"]), rel=1e-5)
    for features, expected in ((points, official["grad_points"]), (pixels, official["grad_pixels"])):
        assert features.grad is not None
        assert (features.grad - expected).abs().max() <= 1e-4 * expected.abs().max()


@settings(max_examples=25, deadline=None)
@given(pairs=st.integers(1, 30), number=st.integers(1, 9), seed=st.integers(0, 1000))
def test_equals_the_equation(pairs: int, number: int, seed: int) -> None:
    # Some superpixels have no point and some no pixel at all.
    tensors = invent(2, (5, 6), pairs, number, 4, seed)
    assert superpixel_nce(*tensors, number, 0.07).item() == pytest.approx(slow_loss(*tensors, number, 0.07), abs=1e-4)


def test_a_superpixel_without_points_is_no_negative() -> None:
    points, group, pixels, superpixels = invent(1, (4, 4), 20, 5, 3, seed=1)
    kept = group != 2
    tensors = points[kept], group[kept], pixels, superpixels
    changed = torch.where(superpixels == 2, -7.0, pixels[0])[None]
    loss = superpixel_nce(*tensors, 5, 0.07)
    assert superpixel_nce(points[kept], group[kept], changed, superpixels, 5, 0.07) == loss
    assert superpixel_nce(points, group, pixels, superpixels, 5, 0.07) != loss


def test_superpixels_of_two_images_are_two() -> None:
    superpixels = torch.zeros(2, 1, 2).long()
    image = torch.tensor([0, 1])
    assert superpixel_groups(image, torch.zeros(2), torch.tensor([0.0, 1.0]), superpixels, 3).tolist() == [0, 3]


def test_means_worked_by_hand() -> None:
    mean, count = mean_of_groups(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([2, 2, 0]), 4)
    assert mean.flatten().tolist() == [5, 0, 2, 0]
    assert count.tolist() == [1, 0, 2, 0]
    pixels = torch.arange(8.0).view(2, 1, 2, 2)
    superpixels = torch.tensor([[[0, 0], [0, 2]], [[1, 1], [2, 2]]])
    assert mean_of_pixels(pixels, superpixels, 3).flatten().tolist() == [1, 0, 3, 0, 4.5, 6.5]


def test_without_any_point_it_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        superpixel_nce(
            torch.zeros(0, 3), torch.zeros(0).long(), torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long(), 1, 1
        )
