from __future__ import annotations

import math

import pytest
import torch

from cmcr.losses.anchor_detection import anchor_losses


def test_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    scans, anchors, kinds = 2, 9, 3
    logits, found, direction, wanted = (
        torch.randn(scans, anchors, width, generator=generator, dtype=torch.float64) for width in (kinds, 7, 2, 7)
    )
    labels = torch.tensor([[0, 1, 2, -1, 0, 3, 0, -1, 1], [0, 0, -1, 0, 0, 2, 0, 0, 0]])
    bins = torch.randint(2, (scans, anchors), generator=generator)
    expected = {"class": 0.0, "box": 0.0, "direction": 0.0}
    for b in range(scans):
        boxes = max(sum(label > 0 for label in labels[b].tolist()), 1)
        for a in range(anchors):
            label = labels[b, a].item()
            if label < 0:
                continue
            for k in range(kinds):
                p = 1 / (1 + math.exp(-logits[b, a, k].item()))
                yes, no = -0.25 * (1 - p) ** 2 * math.log(p), -0.75 * p**2 * math.log(1 - p)
                expected["class"] += (yes if label == k + 1 else no) / boxes / scans
            if label == 0:
                continue
            for i in range(7):
                error = found[b, a, i].item() - wanted[b, a, i].item()
                error = abs(math.sin(error) if i == 6 else error)
                expected["box"] += (4.5 * error**2 if error < 1 / 9 else error - 1 / 18) / boxes / scans
            yes, other = direction[b, a, bins[b, a]].item(), direction[b, a, 1 - bins[b, a]].item()
            expected["direction"] += math.log(1 + math.exp(other - yes)) / boxes / scans
    losses = anchor_losses(logits, found, direction, labels, wanted, bins)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value), name


def test_half_a_turn_costs_nothing_but_direction() -> None:
    wanted = torch.zeros(1, 1, 7)
    found = torch.tensor([[[0.0, 0, 0, 0, 0, 0, math.pi]]], requires_grad=True)
    label, bins = torch.tensor([[1]]), torch.tensor([[0]])
    losses = anchor_losses(torch.zeros(1, 1, 1), found, torch.tensor([[[-5.0, 5.0]]]), label, wanted, bins)
    assert losses["box"].item() == pytest.approx(0, abs=1e-9)
    assert losses["direction"].item() == pytest.approx(10, abs=1e-3)


def test_without_boxes_only_the_classes_cost() -> None:
    outputs = [torch.zeros(2, 4, width, requires_grad=True) for width in (3, 7, 2)]
    nothing = torch.zeros(2, 4, dtype=torch.int64)
    losses = anchor_losses(*outputs, nothing, torch.full((2, 4, 7), torch.nan), nothing)
    assert losses["box"].item() == losses["direction"].item() == 0
    sum(losses.values()).backward()
    assert all(output.grad is not None and output.grad.isfinite().all() for output in outputs)
