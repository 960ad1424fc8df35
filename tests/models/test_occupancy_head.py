"""The head is the plain network on (feature, query minus point), though it never puts the two together."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from cmcr.models.occupancy_head import OccupancyHead, OccupancyHeadOptions


def test_layers_of_the_released_code() -> None:
    head = OccupancyHead(64, OccupancyHeadOptions())
    shapes = [tuple(parameter.shape) for parameter in head.parameters()]
    assert shapes == [(128, 67), (128,), (128, 128), (128,), (128, 128), (128,), (2, 128), (2,)]


@pytest.mark.parametrize("relu", [True, False])
def test_equals_the_plain_network(relu: bool) -> None:
    torch.manual_seed(0)
    head = OccupancyHead(5, OccupancyHeadOptions(width=7, relu_before_output=relu)).double()
    features, offset = torch.randn(4, 5).double().requires_grad_(), torch.randn(20, 3).double()
    voxel = torch.randint(4, (20,))
    ours = head(head.project(features), voxel, offset)

    hidden = head.second(head.first(torch.cat([features[voxel], offset], dim=1)).clamp(min=0)).clamp(min=0)
    hidden = head.third(hidden)
    plain = head.output(hidden.clamp(min=0) if relu else hidden)
    torch.testing.assert_close(ours, plain)
    weights = [features, *head.parameters()]
    for ours_grad, plain_grad in zip(
        torch.autograd.grad(ours.square().sum(), weights),
        torch.autograd.grad(plain.square().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(ours_grad, plain_grad)


def test_a_bad_width_is_named() -> None:
    with pytest.raises(ValidationError, match="width"):
        OccupancyHeadOptions(width=0)
