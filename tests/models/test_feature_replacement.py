"""Replaced features equal a slow loop, and gradients reach what can be seen."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.data.batches import PairBatch
from cmcr.models.feature_replacement import replace_masked_features


def slow_replacement(image: Tensor, point: Tensor, pairs: PairBatch, distance: Tensor, masks: Tensor) -> Tensor:
    """Pixel by pixel, pair by pair."""
    result = image.clone()
    for i, row, column in masks.nonzero().tolist():
        nearest = None
        for n in range(len(pairs)):
            here = (int(pairs.image[n]), round(float(pairs.row[n])), round(float(pairs.column[n])))
            if here == (i, row, column) and (nearest is None or distance[n] < distance[nearest]):
                nearest = n
        if nearest is not None:
            result[i, :, row, column] = point[nearest]
    return result


def invent(pairs: int, seed: int) -> tuple[Tensor, Tensor, PairBatch, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images, channels, height, width = 2, 3, 4, 5

    def number(top: float) -> Tensor:
        return torch.rand(pairs, generator=generator) * top

    places = PairBatch(torch.arange(pairs), number(images).long(), number(height - 1), number(width - 1))
    masks = torch.rand(images, height, width, generator=generator) < 0.5
    image = torch.randn(images, channels, height, width, generator=generator, dtype=torch.float64)
    point = torch.randn(pairs, channels, generator=generator, dtype=torch.float64)
    return image, point, places, number(5).round(), masks  # whole distances, so that some are equal


@settings(max_examples=40, deadline=None)
@given(pairs=st.integers(0, 60), seed=st.integers(0, 1000))
def test_equals_the_loop(pairs: int, seed: int) -> None:
    image, *rest = invent(pairs, seed)
    before = image.clone()
    assert torch.equal(replace_masked_features(image, *rest), slow_replacement(image, *rest))
    assert torch.equal(image, before)


def test_the_nearest_point_hides_the_others() -> None:
    image, masks = torch.zeros(1, 1, 1, 3), torch.tensor([[[True, True, False]]])
    place = torch.tensor([0.0, 0.0, 0.0, 0.0])
    pairs = PairBatch(torch.arange(4), torch.zeros(4).long(), place, torch.tensor([0.2, 0.0, 0.0, 2.0]))
    point = torch.tensor([[1.0], [2.0], [3.0], [4.0]], requires_grad=True)
    image.requires_grad_()
    result = replace_masked_features(image, point, pairs, torch.tensor([9.0, 4.0, 7.0, 1.0]), masks)
    # Pixel 0 is masked and sees pair 1, the nearest of three; pixel 1 is masked and sees none; pixel 2 is not masked.
    assert result.flatten().tolist() == [2, 0, 0]
    (result * torch.tensor([5.0, 6.0, 7.0])).sum().backward()
    assert point.grad is not None
    assert image.grad is not None
    assert point.grad.flatten().tolist() == [0, 5, 0, 0]
    assert image.grad.flatten().tolist() == [0, 6, 7]


def test_gradients_are_exact() -> None:
    image, point, *rest = invent(30, seed=5)
    assert torch.autograd.gradcheck(
        lambda i, p: replace_masked_features(i, p, *rest), (image.requires_grad_(), point.requires_grad_())
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    image, point, pairs, distance, masks = invent(6, seed=0)
    with pytest.raises(ValueError, match="expected masks of"):
        replace_masked_features(image, point, pairs, distance, masks[:, :-1])
    with pytest.raises(ValueError, match="expected masks of"):
        replace_masked_features(image, point[:, :2], pairs, distance, masks)
