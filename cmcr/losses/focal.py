"""Losses that look away from what is easy, because almost all places of a scan are empty."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each yes-or-no question (arXiv:1708.02002, eq. 5).

        FL = - a_t (1 - p_t)^gamma log p_t,    p_t = p for yes and 1 - p for no,  a_t = alpha and 1 - alpha

    Args:
        logits: any shape.
        targets: same shape, 0 or 1.
        alpha: weight of the yes.
        gamma: how fast easy ones fade.

    Returns:
        The loss of each element.
    """
    probability = logits.sigmoid()
    wrong = targets * (1 - probability) + (1 - targets) * probability
    weight = targets * alpha + (1 - targets) * (1 - alpha)
    return weight * wrong**gamma * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def heatmap_focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Focal loss of a heatmap whose peaks are centres and whose hills are forgiven (arXiv:1808.01244, eq. 1).

        L = -1/N sum  (1 - p)^2 log p                  where heat = 1
                      (1 - heat)^4 p^2 log(1 - p)      elsewhere

    with N the number of peaks, at least 1.

    Args:
        logits: any shape.
        heat: same shape, in [0, 1].
    """
    log_yes, log_no = F.logsigmoid(logits), F.logsigmoid(-logits)
    probability = logits.sigmoid()
    is_peak = heat == 1
    found = (1 - probability) ** 2 * log_yes
    kept_silent = (1 - heat) ** 4 * probability**2 * log_no
    return -torch.where(is_peak, found, kept_silent).sum() / is_peak.sum().clamp(min=1)
