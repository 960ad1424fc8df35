"""Point-to-pixel contrast. Shapes: N matched pairs, C channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(points_NC: Tensor, pixels_NC: Tensor, temperature: float) -> Tensor:
    """A point should resemble its own pixel more than the pixels of all other pairs (PointInfoNCE, arXiv:2007.10985).

        L = -1/N  sum_i  log( exp(f_i . g_i / tau) / sum_j exp(f_i . g_j / tau) )

    The points f are the queries and the pixels g the keys, as in PPKT (arXiv:2104.04687) and SLidR (arXiv:2203.16258).

    Args:
        points_NC: (N, C) features of the points, rows of length one.
        pixels_NC: (N, C) features of the pixels, rows of length one; row i of both is pair i.
        temperature: tau, above 0 (0.07 in PPKT, SLidR and CMCR).

    Returns:
        The mean over the pairs, a scalar.

    Raises:
        ValueError: the shapes differ, or there is no pair.
    """
    if points_NC.shape != pixels_NC.shape or len(points_NC) == 0:
        raise ValueError(
            f"expected as many points as pixels, at least one; found {tuple(points_NC.shape)} points "
            f"and {tuple(pixels_NC.shape)} pixels"
        )
    score_NN = points_NC @ pixels_NC.T / temperature
    return F.cross_entropy(score_NN, torch.arange(len(score_NN), device=score_NN.device))
