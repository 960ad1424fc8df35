from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from cmcr.models.bev import BevBackbone, BevOptions


def test_the_default_is_the_released_network() -> None:
    network = BevBackbone(BevOptions(), in_channels=256)
    # 3x3 kernels: 256 to 128, five of 128; 128 to 256, five of 256; a 1x1 and a 2x2 kernel up to 256.
    kernels = 9 * (256 * 128 + 5 * 128**2 + 128 * 256 + 5 * 256**2) + 128 * 256 + 4 * 256 * 256
    norms = 2 * (6 * 128 + 6 * 256 + 2 * 256)
    assert sum(p.numel() for p in network.parameters()) == kernels + norms
    assert (network.out_channels, network.stride) == (512, 1)


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
def test_all_levels_come_to_the_first_ones_resolution(size: tuple[int, int]) -> None:
    network = BevBackbone(BevOptions(layers=(1, 1), channels=(3, 4), up_channels=(5, 6)), in_channels=2).eval()
    assert network(torch.randn(2, 2, *size)).shape == (2, 11, *size)


def test_three_levels_with_a_first_stride() -> None:
    options = BevOptions(layers=(1, 1, 1), strides=(2, 2, 2), channels=(3, 4, 4), up_channels=(5, 6, 7))
    assert BevBackbone(options, in_channels=2).eval()(torch.randn(1, 2, 16, 32)).shape == (1, 18, 8, 16)


def test_refuses_levels_without_a_stride() -> None:
    with pytest.raises(ValidationError, match="one entry for each level"):
        BevOptions(layers=(1, 1, 1))
