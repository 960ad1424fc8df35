from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cmcr.evaluation.shared_information import Critic, CriticOptions, fit_critic, information_bound

OPTIONS = CriticOptions(candidates=128, channels=16, steps=200, pairs_per_step=128, lr=0.03)


def pairs(number: int, seed: int, shared: float) -> tuple[Tensor, Tensor]:
    """Rows whose first two coordinates are alike up to noise; ``shared`` 0 makes them independent."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(number, 2, generator=generator)
    x, y = torch.randn(number, 5, generator=generator), torch.randn(number, 6, generator=generator)
    x[:, :2] += shared * common
    y[:, 2:4] += shared * common
    return 4 * x + 1, y


def bound(shared: float, options: CriticOptions = OPTIONS) -> float:
    generator = torch.Generator().manual_seed(0)
    critic = fit_critic(*pairs(4000, 1, shared), options, generator)
    return information_bound(critic, *pairs(2000, 2, shared), options.candidates, generator)


def test_independent_features_share_nothing() -> None:
    # A finite fit finds a little that does not carry over, so the bound is at or below 0.
    assert -0.1 < bound(0.0) < 0.01


def test_the_bound_rises_with_what_is_shared_and_stays_below_the_truth_and_the_cap() -> None:
    some, much = bound(2.0), bound(5.0)
    # Two pairs of Gaussians with correlation r = s^2 / (1 + s^2) share -log(1 - r^2) / 2 nats each.
    truth = [-math.log(1 - (s**2 / (1 + s**2)) ** 2) for s in (2.0, 5.0)]
    assert 0.7 * truth[0] < some < truth[0] + 0.05
    assert 0.7 * truth[1] < much < truth[1] + 0.05
    assert bound(1000.0, OPTIONS.model_copy(update={"candidates": 16})) <= math.log(16)


def test_the_bound_equals_its_equation_on_disjoint_draws() -> None:
    x, y = pairs(11, 3, 1.0)
    critic = fit_critic(x, y, OPTIONS.model_copy(update={"steps": 3}), torch.Generator().manual_seed(0))
    critic.requires_grad_(False)
    assert critic.log_scale != 0
    order = torch.randperm(11, generator=torch.Generator().manual_seed(4))
    losses = []
    for draw in (order[:5], order[5:10]):  # the eleventh is left over
        f = [((row - x.mean(0)) / x.std(0)) @ critic.x_map + critic.x_offset for row in x[draw]]
        g = [((row - y.mean(0)) / y.std(0)) @ critic.y_map + critic.y_offset for row in y[draw]]
        score = [[critic.log_scale.exp() * (a @ b) / a.norm() / b.norm() for b in g] for a in f]
        losses.append(-sum(float(row[i] - torch.stack(row).logsumexp(0)) for i, row in enumerate(score)) / 5)
    found = information_bound(critic, x, y, 5, torch.Generator().manual_seed(4))
    assert found == pytest.approx(math.log(5) - sum(losses) / 2, rel=1e-5)


def test_the_same_generator_gives_the_same_bound_and_the_global_one_is_not_used() -> None:
    before = torch.random.get_rng_state()
    assert bound(1.0) == bound(1.0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_constant_channels_are_no_error() -> None:
    x, y = pairs(300, 1, 2.0)
    x[:, 4] = 3.0
    generator = torch.Generator().manual_seed(0)
    critic = fit_critic(x, y, OPTIONS.model_copy(update={"steps": 5}), generator)
    assert math.isfinite(information_bound(critic, x, y, 128, generator))


@pytest.mark.parametrize("channels", [4, 100])
def test_a_critic_starts_at_the_scale_of_its_features(channels: int) -> None:
    rows = torch.randn(500, channels, generator=torch.Generator().manual_seed(0))
    critic = Critic(rows, rows, OPTIONS, torch.Generator().manual_seed(1))
    for weights in (critic.x_map, critic.y_map):
        assert float((rows @ weights).std().detach()) == pytest.approx(1, rel=0.15)


def test_too_few_pairs_are_refused() -> None:
    x, y = pairs(10, 1, 1.0)
    critic = Critic(x, y, OPTIONS, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="expected at least 128 pairs"):
        information_bound(critic, x, y, 128, torch.Generator().manual_seed(0))
    assert math.isfinite(information_bound(critic, x, y, 10, torch.Generator().manual_seed(0)))  # just enough
