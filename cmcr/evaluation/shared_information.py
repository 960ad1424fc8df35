"""How much two descriptions of the same things tell about each other, at least: the InfoNCE bound.

Shapes: N matched rows, C and D channels, K channels of the space in which they meet.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.losses.info_nce import info_nce
from cmcr.options import Options


class CriticOptions(Options):
    """The small critic behind the bound on shared information; the same for every row of the table."""

    candidates: PositiveInt = 1024
    """Pairs among which the right one is to be found; the bound cannot exceed the logarithm of their number."""
    channels: PositiveInt = 64
    """Width of the space in which points and pixels meet."""
    steps: PositiveInt = 300
    """Adam steps."""
    pairs_per_step: PositiveInt = 512
    """Pairs of a step."""
    lr: PositiveFloat = 1e-2
    """Learning rate at the start; it falls to 0 as a cosine."""


class Critic(nn.Module):
    """f(x, y) = e^s cos(A x + a, B y + b), with x and y standardised; A, a, B, b and s are learned.

    The scale starts at 1, where the bound is near 0, and grows as far as it pays (as in CLIP, arXiv:2103.00020). With
    the fixed 1 / 0.07 of the pre-training losses a critic cannot say that it does not know, which costs the bound of
    features that share little.
    """

    x_mean: Tensor
    x_scale: Tensor
    y_mean: Tensor
    y_scale: Tensor

    def __init__(self, x_NC: Tensor, y_ND: Tensor, options: CriticOptions, generator: torch.Generator):
        """Start from random maps for features that are spread like these."""
        super().__init__()
        for name, rows in (("x", x_NC), ("y", y_ND)):
            scale = rows.std(0)
            self.register_buffer(f"{name}_mean", rows.mean(0))
            self.register_buffer(f"{name}_scale", torch.where(scale > 0, scale, torch.inf))
        self.x_map, self.y_map = (
            nn.Parameter(torch.randn(rows.shape[1], options.channels, generator=generator) / rows.shape[1] ** 0.5)
            for rows in (x_NC, y_ND)
        )
        self.x_offset, self.y_offset = (nn.Parameter(torch.zeros(options.channels)) for _ in range(2))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x_NC: Tensor, y_ND: Tensor) -> Tensor:
        """Return the InfoNCE of the rows: each x looks for its y among all of them."""
        x_NK = F.normalize((x_NC - self.x_mean) / self.x_scale @ self.x_map + self.x_offset, dim=1)
        y_NK = F.normalize((y_ND - self.y_mean) / self.y_scale @ self.y_map + self.y_offset, dim=1)
        return info_nce(self.log_scale.exp() * x_NK, y_NK, temperature=1.0)


def fit_critic(x_NC: Tensor, y_ND: Tensor, options: CriticOptions, generator: torch.Generator) -> Critic:
    """Fit a critic to matched rows by Adam, on batches drawn without replacement."""
    critic = Critic(x_NC, y_ND, options, generator)
    optimizer = torch.optim.Adam(critic.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    for _ in range(options.steps):
        chosen = torch.randperm(len(x_NC), generator=generator)[: options.pairs_per_step]
        optimizer.zero_grad()
        critic(x_NC[chosen], y_ND[chosen]).backward()
        optimizer.step()
        schedule.step()
    return critic


@torch.no_grad()
def information_bound(critic: Critic, x_NC: Tensor, y_ND: Tensor, candidates: int, generator: torch.Generator) -> float:
    """Lower bound on the mutual information of x and y in nats (van den Oord et al., arXiv:1807.03748).

        I(x; y) >= log M - L,   L the InfoNCE among M rows that the critic was not fitted to

    The mean over as many disjoint draws of M rows as there are. At most log M; below 0 where the critic is worse than
    guessing, which says that nothing was shown, not that less than nothing is shared.

    Args:
        critic: fitted to other rows.
        x_NC: (N, C) at least ``candidates`` rows.
        y_ND: (N, D) their matches.
        candidates: M.
        generator: draws them.

    Raises:
        ValueError: there are too few rows.
    """
    if len(x_NC) < candidates:
        raise ValueError(f"expected at least {candidates} pairs to choose from, found {len(x_NC)}")
    draws = torch.randperm(len(x_NC), generator=generator).split(candidates)
    losses = [critic(x_NC[draw], y_ND[draw]) for draw in draws if len(draw) == candidates]
    return math.log(candidates) - float(torch.stack(losses).double().mean())
