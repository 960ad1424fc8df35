"""What a set of features is like as a whole. Shapes: N points or matched pairs, C and D channels."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(features_NC: Tensor) -> float:
    """Number of directions that features fill (Roy & Vetterli, EUSIPCO 2007).

        exp( - sum_k p_k log p_k ),   p_k = sigma_k / sum_j sigma_j

    sigma are the singular values of the features less their mean, so that a common offset is no direction. Between 1
    and C; NaN where all features are alike.
    """
    centred_NC = features_NC.double() - features_NC.double().mean(0)
    sigma_C = torch.linalg.eigvalsh(centred_NC.T @ centred_NC).clamp(min=0).sqrt()
    p_C = sigma_C / sigma_C.sum()
    return float(torch.special.entr(p_C).sum().exp())


def linear_cka(x_NC: Tensor, y_ND: Tensor) -> float:
    """Linear centred kernel alignment of two descriptions of the same things (Kornblith et al., arXiv:1905.00414).

        ||Y^T X||_F^2 / ( ||X^T X||_F ||Y^T Y||_F )

    with centred columns. From 0 to 1, which rotations and common scales of either reach; NaN where one is constant. Of
    independent features it is about sqrt(r_X r_Y) / N and not 0, with r the number of directions that carry them.

    Raises:
        ValueError: not the same number of rows.
    """
    if len(x_NC) != len(y_ND):
        raise ValueError(f"expected a row of y for each of x, found {len(x_NC)} and {len(y_ND)}")
    x_NC, y_ND = (rows.double() - rows.double().mean(0) for rows in (x_NC, y_ND))
    return float((y_ND.T @ x_NC).square().sum() / ((x_NC.T @ x_NC).norm() * (y_ND.T @ y_ND).norm()))


def shuffled_channels(features_NC: Tensor, generator: torch.Generator) -> Tensor:
    """Permute every channel by itself: each keeps its values, and what they had to do with each other is gone."""
    order_NC = torch.stack([torch.randperm(len(features_NC), generator=generator) for _ in features_NC.T], dim=1)
    return features_NC.gather(0, order_NC)
