"""What the centre head's boxes are trained with (CenterPoint, arXiv:2006.11275, section 4). N boxes, D numbers each."""

from __future__ import annotations

import torch
from torch import Tensor


def center_box_loss(found_ND: Tensor, wanted_ND: Tensor, weights_D: Tensor) -> Tensor:
    """L1 at the cells of the centres: sum_d w_d mean_n |found - wanted|, unknown (NaN) numbers left out.

    As in OpenPCDet@8caccce (pcdet/utils/loss_utils.py, ``RegLossCenterNet``) the mean is over all N boxes, those with
    an unknown number among them. Without boxes the loss is zero and so is its gradient.
    """
    known = ~wanted_ND.isnan()
    error = torch.where(known, found_ND - torch.where(known, wanted_ND, 0), 0).abs()
    return (error.sum(dim=0) * weights_D).sum() / max(len(found_ND), 1)
