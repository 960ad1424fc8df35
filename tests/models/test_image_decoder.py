"""The decoder is the released one, at any width, and learns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cmcr.errors import ConfigError
from cmcr.models.image_decoder import ImageDecoder


def test_layers_of_the_released_code() -> None:
    shapes = [tuple(parameter.shape) for parameter in ImageDecoder(64).parameters()]
    assert shapes == [(32, 64, 3, 3), (32,), (16, 32, 3, 3), (16,), (3, 16, 3, 3), (3,)]


def test_equals_the_formula() -> None:
    torch.manual_seed(0)
    decoder = ImageDecoder(8)
    specific, quantised = torch.randn(2, 2, 8, 5, 7)
    first, second, third = (layer for layer in decoder.layers if isinstance(layer, torch.nn.Conv2d))
    hidden = F.conv2d(specific + quantised, first.weight, first.bias, padding=1).clamp(min=0)
    hidden = F.conv2d(hidden, second.weight, second.bias, padding=1).clamp(min=0)
    expected = 1 / (1 + torch.exp(-F.conv2d(hidden, third.weight, third.bias, padding=1)))
    image = decoder(specific, quantised)
    assert image.shape == (2, 3, 5, 7)
    torch.testing.assert_close(image, expected)


def test_learns_an_image_that_its_features_hold() -> None:
    torch.manual_seed(0)
    decoder, features = ImageDecoder(8), torch.randn(1, 8, 6, 6)
    image = features[:, :3].sigmoid()
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
    losses = []
    for _ in range(100):
        loss = F.mse_loss(decoder(features, torch.zeros_like(features)), image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("channels", [0, 2, 6])
def test_widths_that_cannot_be_halved_twice_are_refused(channels: int) -> None:
    with pytest.raises(ConfigError, match=f"multiple of 4, found {channels}"):
        ImageDecoder(channels)
