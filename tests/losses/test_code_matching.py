from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.losses.code_matching import code_matching


def invent(pairs: int, codes: int, seed: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points, pixels = spread * torch.rand(2, pairs, codes, generator=generator, dtype=torch.float64)
    return points, pixels


def pair_by_pair(points: Tensor, pixels: Tensor) -> Tensor:
    """Straight from the equation: one pair, one code and one exponential at a time; with a gradient."""
    p = [[d.neg().exp() / row.neg().exp().sum() for d in row] for row in points]
    q = [[d.neg().exp() / row.neg().exp().sum() for d in row] for row in pixels]
    codes, pairs = range(points.shape[1]), range(len(points))
    total = points.new_zeros(())
    for i in pairs:
        score = [sum(p[i][k] * q[j][k].log() + q[i][k] * p[j][k].log() for k in codes) for j in pairs]
        total = total - (score[i].exp() / sum(s.exp() for s in score)).log()
    return total / len(points)


def test_equals_the_released_code(shared: Path) -> None:
    """In value; the fixture has the gradient of all codebook losses together, for which see ``test_codebook.py``."""
    official = np.load(shared / "fixtures" / "official_losses.npz")
    order = official["codebook/sample_order"]
    points = official["codebook/point_features"][official["codebook/pairing_points"][order]]
    image, row, column = official["codebook/pairing_images"][order].T
    pixels = official["codebook/pixel_features"][image, :, row, column]
    codes = torch.tensor(official["codebook/initial_embedding"])
    loss = code_matching(torch.cdist(torch.tensor(points), codes), torch.cdist(torch.tensor(pixels), codes))
    assert loss.item() == pytest.approx(float(official["codebook/loss_cross_modal"]), rel=1e-5)


@pytest.mark.parametrize(("pairs", "codes"), [(1, 1), (1, 4), (2, 3), (7, 5), (12, 2)])
@pytest.mark.parametrize("spread", [2.0, 20.0])
def test_equals_the_loop_over_pairs_in_value_and_gradient(pairs: int, codes: int, spread: float) -> None:
    distances = [tensor.requires_grad_() for tensor in invent(pairs, codes, seed=pairs, spread=spread)]
    fast, slow = code_matching(*distances), pair_by_pair(*distances)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-12, abs=1e-12)
    for ours, expected in zip(torch.autograd.grad(fast, distances), torch.autograd.grad(slow, distances), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_a_case_solved_by_hand() -> None:
    # p = q = (3/4, 1/4) for the first pair, (1/4, 3/4) for the second. By symmetry both cost the same, and
    # s_12 - s_11 = 2 (3/4 log 1/4 + 1/4 log 3/4 - 3/4 log 3/4 - 1/4 log 1/4) = log 1/3, so L = log(1 + 1/3).
    far, near = -math.log(1 / 4), -math.log(3 / 4)
    distances = torch.tensor([[near, far], [far, near]])
    assert code_matching(distances, distances).item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("pairs", [1, 2, 50])
def test_pairs_that_cannot_be_told_apart_cost_the_logarithm_of_their_number(pairs: int) -> None:
    points, pixels = invent(1, 6, seed=2)
    assert code_matching(points.expand(pairs, 6), pixels.expand(pairs, 6)).item() == pytest.approx(math.log(pairs))


def test_far_codes_leave_the_loss_finite() -> None:
    # Every pair has a code of its own, all others at a distance of 1000: exp(-1000) is 0 in double precision, too.
    points = (1000 * (1 - torch.eye(4))).requires_grad_()
    loss = code_matching(points, points.detach())
    assert loss.item() == pytest.approx(0, abs=1e-6)
    # With the pixels moved on by one, a point's code is that of the next pair's pixel, and its pixel's code that of the
    # point before: s = -2000 for its own pair, and -1000 for each of those two.
    wrong = code_matching(points, points.detach().roll(1, dims=0))
    assert wrong.item() == pytest.approx(1000 + math.log(2))
    wrong.backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_mixed_precision_does_not_blur_it() -> None:
    points, pixels = (tensor.float() for tensor in invent(200, 40, seed=6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        blurred = code_matching(points, pixels)
    assert torch.equal(blurred, code_matching(points, pixels))


def test_gradient_is_right() -> None:
    points, pixels = invent(5, 4, seed=3, spread=2.0)
    assert torch.autograd.gradcheck(code_matching, (points.requires_grad_(), pixels.requires_grad_()))


@settings(max_examples=25, deadline=None)
@given(pairs=st.integers(1, 12), codes=st.integers(1, 8), seed=st.integers(0, 1000))
def test_modalities_order_and_common_distance_do_not_matter(pairs: int, codes: int, seed: int) -> None:
    points, pixels = invent(pairs, codes, seed, spread=3.0)
    generator = torch.Generator().manual_seed(seed)
    order, codes_order = torch.randperm(pairs, generator=generator), torch.randperm(codes, generator=generator)
    loss = code_matching(points, pixels).item()
    assert loss >= 0
    assert code_matching(pixels, points).item() == pytest.approx(loss)
    assert code_matching(points[order][:, codes_order], pixels[order][:, codes_order]).item() == pytest.approx(loss)
    shift = torch.rand(pairs, 1, generator=generator, dtype=torch.float64)
    assert code_matching(points + shift, pixels).item() == pytest.approx(loss)


@pytest.mark.parametrize(
    ("points", "pixels"), [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((3, 0), (3, 0)), ((3,), (3,))]
)
def test_wrong_shapes_are_refused(points: tuple[int, ...], pixels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="as many points as pixels"):
        code_matching(torch.zeros(points), torch.zeros(pixels))
