from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cmcr.evaluation.representation import effective_rank, linear_cka, shuffled_channels


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_spectrum(*sigma: float) -> Tensor:
    """(40, C) centred features with these singular values."""
    u = torch.linalg.qr(torch.cat([torch.ones(40, 1).double(), draw(40, len(sigma))], dim=1))[0][:, 1:]
    v = torch.linalg.qr(draw(len(sigma), len(sigma), seed=1))[0]
    return u @ torch.diag(torch.tensor(sigma, dtype=torch.float64)) @ v


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        ((2, 2, 2), 3),
        ((5, 0, 0), 1),
        ((1, 1, 0, 0), 2),
        ((3, 1), math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))),
    ],
)
def test_effective_rank_of_a_known_spectrum(sigma: tuple[float, ...], expected: float) -> None:
    features = with_spectrum(*sigma)
    assert effective_rank(features) == pytest.approx(expected, abs=1e-5)
    offset = 100 * torch.arange(1.0, len(sigma) + 1)  # of its own for each channel
    assert effective_rank(3 * features + offset) == pytest.approx(expected, abs=1e-4)


def test_effective_rank_of_constants_is_undefined() -> None:
    assert math.isnan(effective_rank(torch.ones(5, 3)))


def slow_cka(x: Tensor, y: Tensor) -> float:
    """HSIC of the centred Gram matrices (equation 3 of the paper), with the linear kernel."""
    n = len(x)
    h = torch.eye(n, dtype=torch.float64) - 1 / n

    def hsic(k: Tensor, j: Tensor) -> Tensor:
        return torch.trace(k @ h @ j @ h) / (n - 1) ** 2

    k, j = x @ x.T, y @ y.T
    return float(hsic(k, j) / (hsic(k, k) * hsic(j, j)).sqrt())


@pytest.mark.parametrize("widths", [(3, 3), (2, 7), (12, 1)])
def test_cka_equals_the_definition_with_gram_matrices(widths: tuple[int, int]) -> None:
    x = draw(30, widths[0]) + 2
    y = draw(30, widths[1], seed=1) + x[:, :1]
    assert linear_cka(x, y) == pytest.approx(slow_cka(x, y), rel=1e-10)
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y), rel=1e-10)


def test_cka_knows_no_rotation_scale_or_offset_but_another_stretch() -> None:
    x = draw(50, 4)
    turn = torch.linalg.qr(draw(4, 4, seed=1))[0]
    assert linear_cka(x, 5 * x @ turn - 3) == pytest.approx(1)
    assert linear_cka(x, x @ torch.diag(torch.tensor([9.0, 1, 1, 1]).double())) < 0.9


def test_cka_of_independent_features_is_near_zero() -> None:
    x, y = draw(4000, 8), draw(4000, 8, seed=1)
    # E ||Y'X||^2 = N C D and ||X'X||, ||Y'Y|| = N sqrt(C), so C / N is left.
    assert linear_cka(x, y) == pytest.approx(8 / 4000, rel=0.5)


def test_cka_refuses_rows_without_a_match_and_is_undefined_for_constants() -> None:
    with pytest.raises(ValueError, match="found 3 and 4"):
        linear_cka(draw(3, 2), draw(4, 2))
    assert math.isnan(linear_cka(draw(5, 2), torch.ones(5, 2)))


def test_shuffled_channels_keep_their_values_and_lose_each_other() -> None:
    x = draw(500, 1).expand(500, 3)
    shuffled = shuffled_channels(x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shuffled.sort(dim=0).values, x.sort(dim=0).values)
    assert effective_rank(x) == pytest.approx(1, abs=1e-3)
    assert effective_rank(shuffled) > 2.9
    assert torch.equal(shuffled, shuffled_channels(x, torch.Generator().manual_seed(0)))
