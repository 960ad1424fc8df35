from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcr.data.range_grid import RangeGrid
from cmcr.models.center_targets import boxes_at, center_targets, hill_radius

GRID = RangeGrid(bounds_m=(-8, -8, -3, 8, 8, 1), cell_m=(0.1, 0.1, 0.1))
STRIDE, SHAPE = 8, (20, 20)


def random_boxes(number: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(number, 7, generator=generator, dtype=torch.float64)
    low = torch.tensor([-8, -8, -2, 0.5, 0.5, 0.5, -3.1], dtype=torch.float64)
    return low + uniform * torch.tensor([16, 16, 2, 6, 2, 2, 6.2], dtype=torch.float64)


def test_heat_equals_a_slow_loop() -> None:
    boxes, classes = random_boxes(8, 0), torch.tensor([1, 2, 1, 2, 2, 1, 0, 3])
    found = center_targets(boxes, classes, None, 2, SHAPE, GRID, STRIDE).heat_KHW
    expected = torch.zeros(2, *SHAPE, dtype=torch.float64)
    for box, number in zip(boxes.tolist(), classes.tolist(), strict=True):
        if number not in (1, 2):
            continue
        column, row = int((box[0] + 8) // 0.8), int((box[1] + 8) // 0.8)
        size = torch.tensor([box[3] / 0.8]), torch.tensor([box[4] / 0.8])
        radius = max(2, int(hill_radius(*size).item()))
        spread = (2 * radius + 1) / 6
        for y in range(max(0, row - radius), min(20, row + radius + 1)):
            for x in range(max(0, column - radius), min(20, column + radius + 1)):
                heat = math.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * spread**2))
                expected[number - 1, y, x] = max(expected[number - 1, y, x].item(), heat)
    torch.testing.assert_close(found, expected)
    assert (found == 1).sum() == 6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_boxes_come_back(seed: int) -> None:
    boxes = random_boxes(9, seed)
    velocity = torch.randn(9, 2, dtype=torch.float64)
    targets = center_targets(boxes, torch.ones(9, dtype=torch.int64), velocity, 1, SHAPE, GRID, STRIDE)
    found, speed = boxes_at(targets.numbers_M, targets.cell_M, SHAPE, GRID, STRIDE)
    torch.testing.assert_close(found, boxes)
    torch.testing.assert_close(speed, velocity)
    assert ((targets.numbers_M[:, :2] >= 0) & (targets.numbers_M[:, :2] < 1)).all()


def test_what_lies_beside_the_map_is_left_out() -> None:
    boxes = torch.tensor([[8.5, 0, 0, 4, 2, 1, 0], [0, -8.5, 0, 4, 2, 1, 0], [0, 0, 0, 4, 2, 1, 0]])
    targets = center_targets(boxes, torch.ones(3, dtype=torch.int64), None, 1, SHAPE, GRID, STRIDE)
    assert targets.cell_M.tolist() == [10 * 20 + 10]
    assert targets.numbers_M[0, 8:].isnan().all()
    none = center_targets(boxes[:0], torch.empty(0, dtype=torch.int64), None, 1, SHAPE, GRID, STRIDE)
    assert none.heat_KHW.count_nonzero() == 0
    assert none.numbers_M.shape == (0, 10)


def test_radius_by_hand() -> None:
    # A square of 10: (20 + sqrt(400 - 400 / 3)) / 2; (40 + sqrt(1600 - 800)) / 2; (sqrt(400 + 400) - 20) / 2.
    found = hill_radius(torch.tensor([10.0]), torch.tensor([10.0]), min_overlap=0.5).item()
    assert found == pytest.approx(min(18.165, 34.142, (math.sqrt(800) - 20) / 2), abs=1e-3)
