from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.losses.superpixel_nce import mean_of_pixels
from cmcr.models.superpixel_pooling import pool_upsampled


def by_upsampling(map_ICHW: Tensor, superpixels: Tensor, number: int, *, unit_pixels: bool) -> Tensor:
    """As the decoders of the SLidR family do it: a map at the image's resolution, then lengths, then means."""
    pixels = F.interpolate(map_ICHW, superpixels.shape[1:], mode="bilinear", align_corners=True)
    return mean_of_pixels(F.normalize(pixels, dim=1) if unit_pixels else pixels, superpixels, number)


@pytest.mark.parametrize("unit_pixels", [True, False])
@pytest.mark.parametrize(
    ("coarse", "size"),
    [((4, 6), (23, 41)), ((7, 13), (56, 104)), ((1, 1), (5, 6)), ((1, 5), (9, 30)), ((6, 7), (6, 7)), ((8, 9), (4, 5))],
    ids=str,
)
def test_equals_upsampling_first_in_value_and_gradient(
    coarse: tuple[int, int], size: tuple[int, int], unit_pixels: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    map_ICHW = torch.randn(3, 5, *coarse, generator=generator, dtype=torch.float64, requires_grad=True)
    superpixels = torch.randint(7, (3, *size), generator=generator) * 2  # every other number has no pixel
    weight = torch.randn(3 * 14, 5, generator=generator, dtype=torch.float64)
    found, expected = (
        make(map_ICHW, superpixels, 14, unit_pixels=unit_pixels) for make in (pool_upsampled, by_upsampling)
    )
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((pooled * weight).sum(), map_ICHW)[0] for pooled in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_opposite_cells_that_cancel_stay_finite() -> None:
    map_ICHW = torch.tensor([[[[1.0, -1.0]]]], requires_grad=True)  # the middle one of three pixels is zero
    pooled = pool_upsampled(map_ICHW, torch.tensor([[[0, 1, 2]]]), 3, unit_pixels=True)
    torch.testing.assert_close(pooled, torch.tensor([[1.0], [0.0], [-1.0]]))
    pooled.sum().backward()
    assert map_ICHW.grad is not None
    assert map_ICHW.grad.isfinite().all()
