"""Shared apart from specific. Shapes: N points or pixels, C channels."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonality(shared_NC: Tensor, specific_NC: Tensor) -> Tensor:
    """What a modality shares with the other should not be found again in what is its own (CMCR).

        L = || F^T G ||_Frobenius / C^2,    G with rows of length one

    The entry (a, b) of ``F^T G`` correlates channel a of the shared features F with channel b of the specific ones. It
    is a sum over the rows, not a mean, so the loss grows with their number: the released code (Eaphan/CMCR@36654d5,
    ``pretrain/lightning_trainer.py``, ``orthogonalization_loss`` and its call) takes all voxels of the batch.

    Args:
        shared_NC: (N, C) shared features F of one modality, as its head gives them.
        specific_NC: (N, C) specific features G of the same points or pixels, rows of length one.

    Returns:
        A scalar, 0 where every channel of F is orthogonal to every channel of G.

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    if shared_NC.ndim != 2 or shared_NC.shape != specific_NC.shape or len(shared_NC) == 0:
        raise ValueError(
            f"expected (N, C) shared and as many specific features, at least one; found {tuple(shared_NC.shape)} "
            f"shared and {tuple(specific_NC.shape)} specific ones"
        )
    return torch.linalg.matrix_norm(shared_NC.T @ specific_NC) / shared_NC.shape[1] ** 2
