from __future__ import annotations

import math

import pytest
import torch

from cmcr.losses.focal import focal, heatmap_focal


def test_focal_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(4, 5, generator=generator, dtype=torch.float64)).requires_grad_()
    targets = (torch.rand(4, 5, generator=generator) < 0.4).double()
    found = focal(logits, targets, alpha=0.3, gamma=1.5)
    for row in range(4):
        for column in range(5):
            p = 1 / (1 + math.exp(-logits[row, column].item()))
            expected = -0.3 * (1 - p) ** 1.5 * math.log(p) if targets[row, column] else -0.7 * p**1.5 * math.log(1 - p)
            assert found[row, column].item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: focal(x, targets).sum(), logits)


def test_focal_stays_finite_far_out() -> None:
    logits = torch.tensor([100.0, -100.0, 100.0, -100.0], requires_grad=True)
    loss = focal(logits, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(loss, torch.tensor([0, 0, 75.0, 25.0]))
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_heatmap_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    heat = torch.rand(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    heat[0, 0, 1, 1] = heat[1, 2, 3, 0] = 1
    total = 0.0
    for logit, wanted in zip(logits.flatten().tolist(), heat.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        total -= (1 - p) ** 2 * math.log(p) if wanted == 1 else (1 - wanted) ** 4 * p**2 * math.log(1 - p)
    assert heatmap_focal(logits, heat).item() == pytest.approx(total / 2)


def test_a_heatmap_without_peaks() -> None:
    loss = heatmap_focal(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    assert loss.item() == pytest.approx(4 * 0.25 * math.log(2))
