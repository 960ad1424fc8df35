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

from cmcr.losses.info_nce import info_nce


def unit_rows(pairs: int, channels: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(pairs, channels, generator=generator, dtype=torch.float64), dim=1)


def slow_info_nce(points: Tensor, pixels: Tensor, temperature: float) -> float:
    """Straight from the equation, one pair and one exponential at a time."""
    total = 0.0
    for i in range(len(points)):
        similar = [math.exp(float(points[i] @ pixels[j]) / temperature) for j in range(len(pixels))]
        total -= math.log(similar[i] / sum(similar))
    return total / len(points)


def test_equals_the_released_code(shared: Path) -> None:
    official = np.load(shared / "fixtures" / "official_losses.npz")
    points = torch.tensor(official["info_nce/points"], requires_grad=True)
    pixels = torch.tensor(official["info_nce/pixels"], requires_grad=True)
    loss = info_nce(points, pixels, float(official["info_nce/temperature"]))
    loss.backward()
    assert loss.item() == pytest.approx(float(official["info_nce/loss"]), rel=1e-5)
    for features, name in ((points, "grad_points"), (pixels, "grad_pixels")):
        expected = torch.tensor(official[f"info_nce/{name}"])
        assert features.grad is not None
        assert (features.grad - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("pairs", "channels"), [(1, 4), (2, 3), (17, 64)])
@pytest.mark.parametrize("temperature", [0.04, 0.07, 1.0])
def test_equals_the_equation(pairs: int, channels: int, temperature: float) -> None:
    points, pixels = unit_rows(pairs, channels, seed=1), unit_rows(pairs, channels, seed=2)
    assert info_nce(points, pixels, temperature).item() == pytest.approx(slow_info_nce(points, pixels, temperature))


def test_points_are_the_queries() -> None:
    # Both pixels look like point 0: point 0 cannot tell them apart (log 2), point 1 would rather have neither (log 2).
    # With pixels as queries each would choose point 0, and pixel 1 would be wrong by far more.
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pixels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert info_nce(points, pixels, 0.07).item() == pytest.approx(math.log(2))
    assert info_nce(pixels, points, 0.07).item() > 5


@settings(max_examples=25, deadline=None)
@given(pairs=st.integers(1, 12), seed=st.integers(0, 1000))
def test_order_of_pairs_does_not_matter_and_own_pixels_cost_least(pairs: int, seed: int) -> None:
    points, pixels = unit_rows(pairs, 5, seed), unit_rows(pairs, 5, seed + 1)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    loss = info_nce(points, pixels, 0.07)
    assert loss.item() == pytest.approx(info_nce(points[order], pixels[order], 0.07).item())
    assert loss.item() >= 0
    assert info_nce(points, points, 0.07) <= info_nce(points, points.roll(1, dims=0), 0.07)


@pytest.mark.parametrize(("points", "pixels"), [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4))])
def test_wrong_shapes_are_refused(points: tuple[int, int], pixels: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="as many points as pixels"):
        info_nce(torch.zeros(points), torch.zeros(pixels), 0.07)
