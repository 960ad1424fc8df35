from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from cmcr.losses.kl_bottleneck import START_DEVIATION, GaussianBottleneck, kl_to_standard_normal


def invent(points: int, channels: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = torch.randn(2, points, channels, generator=generator, dtype=torch.float64)
    return mean, log_variance


@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [([[0.0, 0.0]], [[1.0, 1.0]], 0), ([[1.0, 2.0]], [[1.0, 1.0]], 2.5), ([[0.0]], [[math.e]], (math.e - 2) / 2)],
)
def test_cases_solved_by_hand(mean: list[list[float]], variance: list[list[float]], expected: float) -> None:
    assert kl_to_standard_normal(torch.tensor(mean), torch.tensor(variance).log()).item() == pytest.approx(expected)


@pytest.mark.parametrize(("points", "channels"), [(1, 1), (1, 6), (11, 3)])
def test_equals_the_equation_and_torch(points: int, channels: int) -> None:
    mean, log_variance = invent(points, channels, seed=points)
    slow = 0.0
    for m, log_v in zip(mean.flatten().tolist(), log_variance.flatten().tolist(), strict=True):
        slow += (m**2 + math.exp(log_v) - 1 - log_v) / 2
    loss = kl_to_standard_normal(mean, log_variance).item()
    assert loss == pytest.approx(slow / points, rel=1e-12)
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0, 1))
    assert loss == pytest.approx(divergence.sum(dim=1).mean().item())


@settings(max_examples=25, deadline=None)
@given(points=st.integers(1, 10), channels=st.integers(1, 6), seed=st.integers(0, 1000), scale=st.floats(1e-6, 5))
def test_it_is_never_negative_not_even_where_it_nearly_vanishes(
    points: int, channels: int, seed: int, scale: float
) -> None:
    mean, log_variance = (scale * tensor for tensor in invent(points, channels, seed))
    assert kl_to_standard_normal(mean.float(), log_variance.float()) >= 0


def test_gradient_is_right() -> None:
    mean, log_variance = invent(4, 3, seed=1)
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mean.requires_grad_(), log_variance.requires_grad_()))


def test_the_sample_has_the_mean_and_the_deviation() -> None:
    bottleneck = GaussianBottleneck(2)
    with torch.no_grad():
        bottleneck.log_variance.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        bottleneck.log_variance.bias.zero_()
    features = torch.tensor([1.0, 2.0]).expand(20_000, 2)
    sample, _ = bottleneck(features, torch.Generator().manual_seed(0))
    torch.testing.assert_close(sample.mean(dim=0), torch.tensor([1.0, 2.0]), rtol=0, atol=0.04)
    torch.testing.assert_close(sample.std(dim=0), torch.tensor([0.5, -1.0]).exp(), rtol=0.03, atol=0)


def test_the_sample_equals_its_equation() -> None:
    bottleneck, (features, _) = GaussianBottleneck(1).double(), invent(20, 1, seed=2)
    with torch.no_grad():
        bottleneck.log_variance.weight.fill_(0.3)
    sample, _ = bottleneck(features, torch.Generator().manual_seed(0))
    noise = torch.randn(20, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for z, m, n in zip(sample.flatten().tolist(), features.flatten().tolist(), noise.flatten().tolist(), strict=True):
        variance = math.exp(0.3 * m + 2 * math.log(START_DEVIATION))
        assert z == pytest.approx(m + math.sqrt(variance) * n, rel=1e-6)


def test_it_starts_with_the_same_little_noise_everywhere() -> None:
    features = 3 * torch.randn(5_000, 4, generator=torch.Generator().manual_seed(1))
    sample, loss = GaussianBottleneck(4)(features, torch.Generator().manual_seed(2))
    assert (sample - features).std().item() == pytest.approx(START_DEVIATION, rel=0.05)
    of_variance = 4 * (START_DEVIATION**2 - 1 - 2 * math.log(START_DEVIATION)) / 2
    assert loss.item() == pytest.approx(features.square().sum(dim=1).mean().item() / 2 + of_variance, rel=1e-5)


def test_noise_comes_from_the_generator_and_only_in_training() -> None:
    bottleneck, features = GaussianBottleneck(3), torch.ones(4, 3)
    first, again, other = (bottleneck(features, torch.Generator().manual_seed(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    sample, loss = bottleneck.eval()(features, generator)
    assert torch.equal(sample, features)
    assert loss > 0
    assert torch.equal(generator.get_state(), before)


def test_descending_the_loss_forgets_the_features() -> None:
    """With nothing to gain from them, means go to 0 and variances to 1: the channel is shut."""
    bottleneck = GaussianBottleneck(3)
    features = torch.randn(50, 3, generator=torch.Generator().manual_seed(3)).requires_grad_()
    optimizer = torch.optim.Adam([features, *bottleneck.parameters()], lr=0.1)
    generator = torch.Generator().manual_seed(4)
    for _ in range(200):
        optimizer.zero_grad()
        _, loss = bottleneck(features, generator)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
    assert features.abs().max() < 0.1


@pytest.mark.parametrize(("mean", "log_variance"), [((3, 4), (2, 4)), ((3, 4), (3, 1)), ((0, 4), (0, 4)), ((4,), (4,))])
def test_wrong_shapes_are_refused(mean: tuple[int, ...], log_variance: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="means and as many logarithms"):
        kl_to_standard_normal(torch.zeros(mean), torch.zeros(log_variance))


def test_no_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 channel, not 0"):
        GaussianBottleneck(0)
