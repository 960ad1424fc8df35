from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcr.losses.centres import HeatmapLoss, centre_heatmap, heatmap_loss, offset_loss
from cmcr.models.birds_eye import BirdsEyeGrid

GRID = BirdsEyeGrid(range_m=3, cell_m=0.5)


def test_hills_are_one_at_the_top_and_the_highest_counts_where_they_overlap() -> None:
    centres, scans = torch.tensor([[0.1, 0.2], [1.1, 0.2], [-2.9, 2.9], [9.0, 0.0]]), torch.tensor([0, 0, 1, 1])
    heat = centre_heatmap(centres, scans, 2, GRID, sigma_m=0.5)
    assert heat.shape == (2, 12, 12)
    assert (heat == 1).nonzero().tolist() == [[0, 6, 6], [0, 6, 8], [1, 11, 0]]  # the last lies off the grid
    for row in range(12):
        for column in range(12):
            distances = [math.hypot(row - 6, column - c) for c in (6, 8)]
            expected = max(math.exp(-((0.5 * d) ** 2) / (2 * 0.5**2)) for d in distances)
            if min(distances) <= 3:
                assert heat[0, row, column].item() == pytest.approx(expected, rel=1e-5)
            else:
                assert heat[0, row, column] <= 0.0112  # cut off at three standard deviations


def test_a_hill_narrower_than_a_cell_ends_at_the_next_cells() -> None:
    heat = centre_heatmap(torch.tensor([[0.1, 0.2]]), torch.tensor([0]), 1, GRID, sigma_m=0.1)
    assert heat.nonzero().tolist() == [[0, row, column] for row in (5, 6, 7) for column in (5, 6, 7)]


def test_without_instances_the_target_is_empty() -> None:
    heat = centre_heatmap(torch.empty(0, 2), torch.empty(0, dtype=torch.int64), 1, GRID, 0.5)
    assert heat.sum() == 0
    for kind in ("mse", "focal"):
        logits = torch.zeros(1, 12, 12, requires_grad=True)
        loss = heatmap_loss(logits, heat, kind)
        loss.backward()
        assert torch.isfinite(loss)
        assert (logits.grad > 0).all()  # cooler everywhere


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), hills=st.integers(0, 4), kind=st.sampled_from(["mse", "focal"]))
def test_losses_equal_slow_loops(seed: int, hills: int, kind: HeatmapLoss) -> None:
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(0, 2, (1, 5, 5)), rng.uniform(0, 0.99, (1, 5, 5))
    target.ravel()[rng.permutation(25)[:hills]] = 1
    total = 0.0
    for z, t in zip(logits.ravel(), target.ravel(), strict=True):
        h = 1 / (1 + math.exp(-z))
        if kind == "mse":
            total += (h - t) ** 2
        else:
            total -= (1 - h) ** 2 * math.log(h) if t == 1 else (1 - t) ** 4 * h**2 * math.log(1 - h)
    found = heatmap_loss(torch.from_numpy(logits), torch.from_numpy(target), kind)
    assert found.item() == pytest.approx(total / max(hills, 1))


@pytest.mark.parametrize("kind", ["mse", "focal"])
def test_extreme_logits_give_finite_losses_and_gradients(kind: HeatmapLoss) -> None:
    logits = torch.tensor([[[200.0, -200.0], [200.0, -200.0]]], requires_grad=True)
    loss = heatmap_loss(logits, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]), kind)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_a_larger_empty_margin_changes_nothing() -> None:
    target = torch.zeros(1, 4, 4)
    target[0, 1, 1] = 1
    logits = torch.full((1, 4, 4), -40.0)
    logits[0, 1, 1] = 1.0
    for kind in ("mse", "focal"):
        small = heatmap_loss(logits, target, kind)
        pad = torch.nn.functional.pad
        large = heatmap_loss(pad(logits, (8,) * 4, value=-40.0), pad(target, (8,) * 4), kind)
        assert large.item() == pytest.approx(small.item())


def test_offsets_by_hand_and_none() -> None:
    assert offset_loss(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.5, -1.0]])).item() == 2.25
    empty = torch.empty(0, 2, requires_grad=True)
    loss = offset_loss(empty, torch.empty(0, 2))
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize(("cell_m", "sigma_m"), [(0.5, 1.0), (0.25, 0.5), (0.5, 0.3), (1.0, 0.1)])
def test_hills_equal_the_equation_up_to_the_borders(cell_m: float, sigma_m: float) -> None:
    grid = BirdsEyeGrid(range_m=3, cell_m=cell_m)
    centres = torch.tensor([[-2.9, -2.9], [2.9, 0.4], [0.6, 2.9], [-0.7, -0.3]])
    heat = centre_heatmap(centres, torch.zeros(4, dtype=torch.int64), 1, grid, sigma_m)[0]
    reach = max(1, round(3 * sigma_m / cell_m))
    tops = [(math.floor(y / cell_m) + grid.side // 2, math.floor(x / cell_m) + grid.side // 2) for x, y in centres]
    for row in range(grid.side):
        for column in range(grid.side):
            steps = [(row - r, column - c) for r, c in tops if max(abs(row - r), abs(column - c)) <= reach]
            hills = [math.exp(-((math.hypot(*step) * cell_m) ** 2) / (2 * sigma_m**2)) for step in steps]
            assert heat[row, column].item() == pytest.approx(max(hills, default=0), rel=1e-5, abs=1e-30)


def test_the_offset_of_one_voxel() -> None:
    assert offset_loss(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 1.0]])).item() == 3.5
