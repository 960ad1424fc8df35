from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.losses.orthogonality import orthogonality


def invent(rows: int, channels: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shared, specific = torch.randn(2, rows, channels, generator=generator, dtype=torch.float64)
    return shared, F.normalize(specific, dim=1)


def slow_orthogonality(shared: Tensor, specific: Tensor) -> float:
    """Every pair of channels, row by row."""
    rows, channels = shared.shape
    total = 0.0
    for a in range(channels):
        for b in range(channels):
            total += sum(float(shared[n, a]) * float(specific[n, b]) for n in range(rows)) ** 2
    return math.sqrt(total) / channels**2


def test_equals_the_released_code(shared: Path) -> None:
    official = np.load(shared / "fixtures" / "official_losses.npz")
    features = {
        name: torch.tensor(official[f"orthogonality/{name}"], requires_grad=True) for name in ("shared", "specific")
    }
    loss = orthogonality(features["shared"], features["specific"])
    loss.backward()
    assert loss.item() == pytest.approx(float(official["orthogonality/loss"]), rel=1e-5)
    for name, tensor in features.items():
        expected = torch.tensor(official[f"orthogonality/grad_{name}"])
        assert tensor.grad is not None
        assert (tensor.grad - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (1, 5), (9, 2), (20, 7)])
def test_equals_the_equation(rows: int, channels: int) -> None:
    features = invent(rows, channels, seed=rows)
    assert orthogonality(*features).item() == pytest.approx(slow_orthogonality(*features), rel=1e-12)


def test_cases_solved_by_hand() -> None:
    # F^T G is the unit matrix, of Frobenius norm sqrt(2), over 2 channels squared.
    assert orthogonality(torch.eye(2), torch.eye(2)).item() == pytest.approx(math.sqrt(2) / 4)
    # Two rows that agree in one channel and differ in sign in the other: nothing is left of F^T G but [[0, 2], [0, 0]].
    shared, specific = torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert orthogonality(shared, specific).item() == pytest.approx(2 / 4)


def test_orthogonal_features_cost_nothing_and_have_a_gradient() -> None:
    shared = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = orthogonality(shared, torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    loss.backward()
    assert loss.item() == 0
    assert shared.grad is not None
    assert torch.equal(shared.grad, torch.zeros(2, 2))  # the root has no slope at 0; NaN would end the training


def test_gradient_is_right() -> None:
    shared, specific = invent(6, 4, seed=3)
    assert torch.autograd.gradcheck(orthogonality, (shared.requires_grad_(), specific.requires_grad_()))


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 12), channels=st.integers(1, 6), seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_order_of_rows_and_basis_of_channels_do_not_matter(rows: int, channels: int, seed: int, scale: float) -> None:
    shared, specific = invent(rows, channels, seed)
    loss = orthogonality(shared, specific).item()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(rows, generator=generator)
    turn = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64)).Q
    assert orthogonality(shared[order] @ turn, specific[order]).item() == pytest.approx(loss)
    assert orthogonality(scale * shared, specific).item() == pytest.approx(scale * loss)


@pytest.mark.parametrize(("shared", "specific"), [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((4,), (4,))])
def test_wrong_shapes_are_refused(shared: tuple[int, ...], specific: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="as many specific features"):
        orthogonality(torch.zeros(shared), torch.zeros(specific))
