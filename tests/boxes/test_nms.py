from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cmcr.boxes.nms import rotated_nms
from cmcr.boxes.overlap import bev_iou


def slow_nms(boxes: Tensor, scores: list[float], max_iou: float) -> list[int]:
    kept: list[int] = []
    for row in sorted(range(len(scores)), key=lambda r: (-scores[r], r)):
        if all(bev_iou(boxes[row : row + 1], boxes[other : other + 1]).item() <= max_iou for other in kept):
            kept.append(row)
    return kept


@pytest.mark.parametrize("max_iou", [0.01, 0.2, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_loop(seed: int, max_iou: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(120, 7, generator=generator, dtype=torch.float64) * torch.tensor([12, 12, 1, 4, 2, 2, 6]) + 0.1
    scores = (torch.rand(120, generator=generator) * 20).round() / 20  # with ties
    expected = slow_nms(boxes, scores.tolist(), max_iou)
    assert rotated_nms(boxes, scores, max_iou).tolist() == expected
    assert rotated_nms(boxes, scores, max_iou, at_most=5).tolist() == expected[:5]


def test_what_was_suppressed_suppresses_nothing() -> None:
    # A row of boxes 4 m long, 1 m apart: each overlaps the next by 3 / 5 and the one after by 2 / 6.
    boxes = torch.tensor([[float(x), 0, 0, 4, 2, 1, 0] for x in range(4)])
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), 0.5).tolist() == [0, 2]


def test_nothing_in_nothing_out() -> None:
    assert rotated_nms(torch.empty(0, 7), torch.empty(0), 0.5).shape == (0,)
