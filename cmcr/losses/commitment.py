"""Features stay near their codes. Shapes: N matched pairs, C channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def commitment(features_NC: Tensor, own_NC: Tensor, other_NC: Tensor, cost: float) -> Tensor:
    """A feature keeps near the code it picked, and half as strongly near the one its partner picked (CMCR).

        L_3D = 2 b |F_3D - e(F_3D)|^2  +  b |F_3D - e(F_2D)|^2

    and the same for 2D with the modalities exchanged, as in the released code (Eaphan/CMCR@36654d5,
    ``pretrain/lightning_trainer.py``, ``loss_codebook``). No gradient reaches the codes: `Codebook.update` moves them.

    Args:
        features_NC: (N, C) shared features F of one modality.
        own_NC: (N, C) the code nearest to each of them, e(F); see `Codebook.nearest`.
        other_NC: (N, C) the code nearest to the paired feature of the other modality.
        cost: b, 0.25 in CMCR.

    Returns:
        The mean over pairs and channels, a scalar.

    Raises:
        ValueError: the shapes differ, or there is no pair.
    """
    if not features_NC.shape == own_NC.shape == other_NC.shape or features_NC.numel() == 0:
        raise ValueError(
            f"expected one code of its own and one of its partner for each feature, at least one feature; found "
            f"{tuple(features_NC.shape)} features, {tuple(own_NC.shape)} own and {tuple(other_NC.shape)} other codes"
        )
    return 2 * cost * F.mse_loss(features_NC, own_NC.detach()) + cost * F.mse_loss(features_NC, other_NC.detach())
