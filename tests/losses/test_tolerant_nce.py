from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.losses.info_nce import info_nce
from cmcr.losses.tolerant_nce import balances, tolerances, tolerant_nce


def unit_rows(rows: int, channels: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, channels, generator=generator, dtype=torch.float64), dim=1)


def slow_loss(f: Tensor, g: Tensor, similarity: Tensor, tau: float, threshold: float) -> float:
    """Straight from the equations, one number at a time."""
    size = len(f)
    alike = [[min(max(float(similarity[i, j]), 0.0), 1.0) for j in range(size)] for i in range(size)]
    votes = [sum(value for value in row if value >= threshold) for row in alike]
    low, high = min(votes), max(votes)
    total = weights = 0.0
    for i in range(size):
        scores = [float(f[i] @ g[j]) / tau * (1 if i == j else 1 - alike[i][j]) for j in range(size)]
        weight = 1 - (votes[i] - low) / (high - low) if high > low else 1.0
        total += weight * (math.log(sum(map(math.exp, scores))) - scores[i])
        weights += weight
    return total / weights


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 12), seed=st.integers(0, 1000), threshold=st.sampled_from([0.0, 0.3, 0.5]))
def test_equals_the_equations(size: int, seed: int, threshold: float) -> None:
    f, g, teacher = (unit_rows(size, 3, seed + number) for number in range(3))
    similarity = teacher @ teacher.T
    found = tolerant_nce(f, g, similarity, 0.07, balance_threshold=threshold)
    assert found.item() == pytest.approx(slow_loss(f, g, similarity, 0.07, threshold), rel=1e-6)


def test_cosines_beyond_one_or_below_zero_are_cut() -> None:
    f, g = unit_rows(4, 3, 0), unit_rows(4, 3, 1)
    rounded, cut = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    rounded[0, 1], rounded[2, 3], cut[0, 1] = 1.5, -0.5, 1
    for threshold in (None, 0.5):
        found, expected = (tolerant_nce(f, g, each, 0.07, balance_threshold=threshold) for each in (rounded, cut))
        torch.testing.assert_close(found, expected)


def test_without_likeness_it_is_slidrs() -> None:
    f, g = unit_rows(6, 4, 0), unit_rows(6, 4, 1)
    found = tolerant_nce(f, g, torch.eye(6, dtype=torch.float64), 0.07)
    torch.testing.assert_close(found, info_nce(f, g, 0.07))


def test_tolerances_worked_by_hand() -> None:
    similarity = torch.tensor([[1.0, 0.9, 0.2], [0.9, 1.0, 0.0], [0.2, 0.0, 1.0]])
    torch.testing.assert_close(tolerances(similarity), torch.tensor([[1, 0.1, 0.8], [0.1, 1, 1], [0.8, 1, 1]]))
    # The median of a row's weights, its own 0 among them, is the nearer of its two negatives.
    expected = torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, 1]])
    assert torch.equal(tolerances(similarity, 0.5), expected)
    expected = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 1, 1]])
    assert torch.equal(tolerances(similarity, 0.9), expected)
    # Where half of a row and more is exactly alike, the quantile is 0, and what is at it is left out all the same.
    assert torch.equal(tolerances(torch.ones(3, 3), 0.5), torch.eye(3))


def test_the_rare_counts_in_full_and_the_most_common_nothing() -> None:
    alike = torch.block_diag(torch.ones(4, 4), torch.ones(2, 2), torch.ones(1, 1))
    alike[6, 0] = alike[0, 6] = 0.4  # below the threshold
    torch.testing.assert_close(balances(alike, 0.5), torch.tensor([0.0, 0, 0, 0, 2 / 3, 2 / 3, 1]))
    assert torch.equal(balances(torch.eye(3), 0.5), torch.ones(3))


def test_those_most_alike_are_left_out_of_the_sum() -> None:
    f, g = unit_rows(6, 8, seed=0), unit_rows(6, 8, seed=1)
    similarity = (unit_rows(6, 3, seed=2) @ unit_rows(6, 3, seed=2).T).clamp(0, 1)
    weights, expected = tolerances(similarity, 0.6), []
    assert 0 < (weights == 0).sum() < 30
    for i in range(6):
        scores = [float(weights[i, j] * (f[i] @ g[j])) / 0.1 for j in range(6)]
        expected.append(math.log(sum(map(math.exp, scores))) - scores[i])
    loss = tolerant_nce(f, g, similarity, 0.1, drop_share=0.6, balance_threshold=None)
    assert loss.item() == pytest.approx(sum(expected) / 6, rel=1e-5)


def test_likeness_at_the_threshold_is_a_vote() -> None:
    alike = torch.eye(3)
    alike[0, 1] = alike[1, 0] = 0.5
    torch.testing.assert_close(balances(alike, 0.5), torch.tensor([0.0, 0, 1]))
