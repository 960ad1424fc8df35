"""`sample_pixels` equals the decoders' upsampling followed by indexing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.data.batches import PairBatch
from cmcr.models.sampling import sample_pixels


def pairs_at(image: Tensor, row: Tensor, column: Tensor) -> PairBatch:
    return PairBatch(torch.zeros_like(image), image, row.float(), column.float())


@pytest.mark.parametrize("cells", [(1, 1), (1, 4), (3, 5), (24, 40)])
def test_equal_to_upsampling_and_indexing(cells: tuple[int, int]):
    height, width, number = 24, 40, 500
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 6, *cells, generator=generator, dtype=torch.float64)
    image, row, column = (torch.randint(top, (number,), generator=generator) for top in (3, height, width))
    row[:4], column[:4] = torch.tensor([0, 0, 23, 23]), torch.tensor([0, 39, 0, 39])
    upsampled = F.interpolate(maps, (height, width), mode="bilinear", align_corners=True)
    ours = sample_pixels(maps, pairs_at(image, row, column), (height, width))
    torch.testing.assert_close(ours, upsampled[image, :, row, column], rtol=1e-5, atol=1e-5)


def test_between_pixels_by_hand():
    """A map of 0, 1 over a row of 5 pixels: pixel 1.5 is 3/8 of the way."""
    maps = torch.tensor([[[[0.0, 1.0]]]])
    zero = torch.zeros(1, dtype=torch.long)
    assert sample_pixels(maps, pairs_at(zero, torch.zeros(1), torch.tensor([1.5])), (1, 5)).item() == 0.375


def test_gradient_reaches_the_maps():
    maps = torch.zeros(1, 2, 3, 3, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.long)
    sample_pixels(maps, pairs_at(zero, torch.tensor([2.0]), torch.tensor([1.0])), (5, 5)).sum().backward()
    expected = torch.zeros(3, 3)
    expected[1, 0] = expected[1, 1] = 0.5
    torch.testing.assert_close(maps.grad, expected.expand(1, 2, 3, 3))
