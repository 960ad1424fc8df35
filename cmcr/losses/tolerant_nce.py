"""Superpixel contrast that tolerates likeness, as in ST-SLidR (CVPR 2023; TRAILab/ST-SLidR@4d698c6).

Shapes: M superpixels with points, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def tolerant_nce(
    points_MC: Tensor,
    pixels_MC: Tensor,
    similarity_MM: Tensor,
    temperature: float,
    *,
    drop_share: float | None = None,
    balance_threshold: float | None = 0.5,
) -> Tensor:
    """A superpixel that the teacher finds alike is pushed away less, and those with many alike count less.

        s_ij = w_ij f_i . g_j / tau
        L    = sum_i  b_i * ( -log( exp s_ii / sum_j exp s_ij ) )  /  sum_i b_i

    with w from `tolerances` and b from `balances`. Logits are weighted, as in the released code, so a superpixel of
    weight 0 still stands in the sum, with exp 0 = 1.

    Args:
        points_MC: (M, C) features f of superpoints.
        pixels_MC: (M, C) features g of superpixels; row i of both is superpixel i.
        similarity_MM: (M, M) cosine between the teacher's features of superpixels.
        temperature: tau, above 0.
        drop_share: see `tolerances`.
        balance_threshold: see `balances`; None counts all alike.

    Returns:
        A scalar.
    """
    similarity_MM = similarity_MM.clamp(0, 1)
    score_MM = points_MC @ pixels_MC.T / temperature * tolerances(similarity_MM, drop_share)
    loss_M = F.cross_entropy(score_MM, torch.arange(len(score_MM), device=score_MM.device), reduction="none")
    if balance_threshold is None:
        return loss_M.mean()
    weight_M = balances(similarity_MM, balance_threshold)
    return (loss_M * weight_M).sum() / weight_M.sum()


def tolerances(similarity_MM: Tensor, drop_share: float | None = None) -> Tensor:
    """Return the (M, M) weights of the logits: 1 - similarity, and 1 on the diagonal.

    Args:
        similarity_MM: (M, M) in [0, 1].
        drop_share: if given, the weights of each row are 0 below the row's quantile of this share and 1 from it on,
            so that the superpixels most alike are left out and the others count in full. What is exactly alike is
            left out in any case, as in the released code.
    """
    weight_MM = 1 - similarity_MM
    if drop_share is not None:
        lowest_M1 = weight_MM.quantile(drop_share, dim=1, keepdim=True)
        weight_MM = ((weight_MM >= lowest_M1) & (weight_MM > 0)).to(weight_MM.dtype)
    return weight_MM.clone().fill_diagonal_(1)


def balances(similarity_MM: Tensor, threshold: float) -> Tensor:
    """Return the (M,) weights of the superpixels: large for what is rare, without knowing any class.

        v_i = sum_j  similarity_ij  where it is at least the threshold
        b_i = 1 - (v_i - min v) / (max v - min v)

    so the superpixel with the most of its like counts nothing, and one on its own counts in full.
    """
    votes_M = torch.where(similarity_MM >= threshold, similarity_MM, 0).sum(dim=1)
    votes_M = votes_M - votes_M.min()
    return 1 - votes_M / votes_M.max() if votes_M.max() > 0 else torch.ones_like(votes_M)
