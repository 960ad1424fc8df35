"""A Gaussian bottleneck for the specific features. Shapes: N points, C channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

START_DEVIATION = 0.1
"""Standard deviation of the noise before the first step; chosen here: a tenth of the standard normal one, so that the
first steps already see the features through it."""


def kl_to_standard_normal(mean_NC: Tensor, log_variance_NC: Tensor) -> Tensor:
    """How much a feature may tell, in nats: the divergence of its Gaussian from the standard normal one.

        KL( N(m, v) || N(0, I) ) = 1/2  sum_c ( m_c^2 + v_c - 1 - log v_c )

    Args:
        mean_NC: (N, C) means m.
        log_variance_NC: (N, C) natural logarithms of the variances v.

    Returns:
        The mean over the points of the sum over the channels, a scalar, at least 0.

    Raises:
        ValueError: the shapes differ, or there is no point.
    """
    if mean_NC.ndim != 2 or mean_NC.shape != log_variance_NC.shape or mean_NC.numel() == 0:
        raise ValueError(
            f"expected (N, C) means and as many logarithms of variances, at least one; found {tuple(mean_NC.shape)} "
            f"means and {tuple(log_variance_NC.shape)} logarithms"
        )
    # expm1: near v = 1 the difference exp(l) - 1 - l would lose its digits.
    divergence_NC = (mean_NC.square() + torch.expm1(log_variance_NC) - log_variance_NC) / 2
    return divergence_NC.sum(dim=1).mean()


class GaussianBottleneck(nn.Module):
    """Specific features pass with noise, and pay for what they carry in spite of it: L_kl of CMCR's figure, our choice.

    The figure draws a KL term on the specific 3D features G; neither the released code nor a text we could read defines
    it. What follows is the variational information bottleneck (arXiv:1612.00410) in its simplest form, because it is
    the one reading under which a KL term on features alone is defined and does what its place in the figure asks:

        z = m + sqrt(v) n,    n ~ N(0, I),    m = G,    log v = A G + a
        L_kl = KL( N(m, v) || N(0, I) )

    The occupancy decoder then reads z. The loss bounds the nats that z holds about the scan from above, so the specific
    part keeps what reconstruction needs and has no room to carry the shared part a second time. G is the mean as it is:
    it comes out of a linear head already. A and a are learned, and start at noise of `START_DEVIATION` for every input.
    """

    def __init__(self, channels: int):
        super().__init__()
        if channels < 1:
            raise ValueError(f"a bottleneck needs at least 1 channel, not {channels}")
        self.log_variance = nn.Linear(channels, channels)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, 2 * math.log(START_DEVIATION))

    def forward(self, specific_NC: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the noisy features and the loss.

        Args:
            specific_NC: (N, C) specific features G.
            generator: draws the noise, on its own device; untouched in eval mode, where z is the mean.

        Returns:
            (N, C) features z, and the unweighted loss, a scalar in nats per point.
        """
        log_variance_NC = self.log_variance(specific_NC)
        loss = kl_to_standard_normal(specific_NC, log_variance_NC)
        if not self.training:
            return specific_NC, loss
        noise_NC = torch.randn(
            specific_NC.shape, generator=generator, device=generator.device, dtype=specific_NC.dtype
        ).to(specific_NC.device)
        return specific_NC + (log_variance_NC / 2).exp() * noise_NC, loss
