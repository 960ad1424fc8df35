"""Cross-modal matching by code. Shapes: N matched pairs, K codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def code_matching(points_NK: Tensor, pixels_NK: Tensor) -> Tensor:
    """A point should spread over the codes as its own pixel does, and as no other pixel does (CMCR).

        p_i  = softmax_k( -|f_i - e_k| )        the same for the pixels' q
        s_ij = p_i . log q_j  +  q_i . log p_j
        L    = -1/N  sum_i  log( exp s_ii / sum_j exp s_ij )

    The released code (Eaphan/CMCR@36654d5, ``pretrain/lightning_trainer.py``, ``loss_codebook``) adds 1e-10 to p and q
    before their logarithms and 1e-5 to the sum over j. Both keep its exponentials finite and are lost in rounding;
    ``log_softmax`` needs neither.

    Args:
        points_NK: (N, K) Euclidean distances of the points' shared features f to the codes e; see `Codebook.distances`.
        pixels_NK: (N, K) distances of their pixels' shared features to the same codes; row i of both is pair i.

    Returns:
        The mean over the pairs, a scalar. Without a difference between the rows it is log N; distances between rows of
        length one are at most 2, so p and q are nearly flat and it stays close to that.

    Raises:
        ValueError: the shapes differ, or there is no pair or no code.
    """
    if points_NK.ndim != 2 or points_NK.shape != pixels_NK.shape or points_NK.numel() == 0:
        raise ValueError(
            f"expected (N, K) distances of as many points as pixels, at least one, to the same codes; "
            f"found {tuple(points_NK.shape)} of points and {tuple(pixels_NK.shape)} of pixels"
        )
    # In full precision: the scores of a row differ in their third digit, which is where bfloat16 ends.
    with torch.autocast(points_NK.device.type, enabled=False):
        log_p_NK, log_q_NK = (-points_NK).log_softmax(dim=1), (-pixels_NK).log_softmax(dim=1)
        # Both terms of s at once, [p q] [log q  log p]^T: nearly all the time goes here, and one product beats two.
        spread_N2K = torch.cat([log_p_NK.exp(), log_q_NK.exp()], dim=1)
        score_NN = spread_N2K @ torch.cat([log_q_NK, log_p_NK], dim=1).T
        return F.cross_entropy(score_NN, torch.arange(len(score_NN), device=score_NN.device))
