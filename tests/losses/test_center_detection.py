from __future__ import annotations

import math

import pytest
import torch

from cmcr.losses.center_detection import center_box_loss


def test_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    found, wanted = (torch.randn(5, 10, generator=generator, dtype=torch.float64) for _ in range(2))
    wanted[[0, 3], 8] = wanted[0, 9] = math.nan
    weights = torch.linspace(0.1, 1, 10, dtype=torch.float64)
    expected = 0.0
    for n in range(5):
        for d in range(10):
            if not math.isnan(wanted[n, d].item()):
                expected += weights[d].item() * abs(found[n, d].item() - wanted[n, d].item()) / 5
    assert center_box_loss(found, wanted, weights).item() == pytest.approx(expected)


def test_what_is_not_known_gets_no_gradient() -> None:
    found = torch.zeros(1, 2, requires_grad=True)
    center_box_loss(found, torch.tensor([[1.0, math.nan]]), torch.ones(2)).backward()
    assert found.grad is not None
    assert found.grad.tolist() == [[-1, 0]]


def test_no_boxes() -> None:
    found = torch.zeros(0, 10, requires_grad=True)
    loss = center_box_loss(found, torch.zeros(0, 10), torch.ones(10))
    loss.backward()
    assert loss.item() == 0
