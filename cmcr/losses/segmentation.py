"""What a segmentation network is fine-tuned with. Shapes: P points, C classes.

Points of the ignored class count nowhere. Without a single labelled point every loss here is zero and so is its
gradient, because a batch of sparse labels may well be empty and must not stop a training with NaN.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.data.scan import IGNORE


def segmentation_losses(logits_PC: Tensor, labels_P: Tensor, ignore: int = IGNORE) -> dict[str, Tensor]:
    """Cross-entropy and Lovasz-softmax over the labelled points: the two losses of SLidR's and CMCR's fine-tuning.

    Args:
        logits_PC: (P, C) scores of all classes, the ignored one included.
        labels_P: (P,) int64 class of each point.
        ignore: class whose points are left out.

    Returns:
        ``cross_entropy`` and ``lovasz``, scalars; the recipes minimise their sum.
    """
    labelled_P = labels_P != ignore
    logits_PC, labels_P = logits_PC[labelled_P], labels_P[labelled_P]
    return {
        "cross_entropy": F.cross_entropy(logits_PC, labels_P, reduction="sum") / max(len(labels_P), 1),
        "lovasz": lovasz_softmax(logits_PC.softmax(dim=1), labels_P, ignore),
    }


def lovasz_softmax(probabilities_PC: Tensor, labels_P: Tensor, ignore: int = IGNORE) -> Tensor:
    """A convex stand-in for 1 - IoU, averaged over the classes present in the labels (arXiv:1705.08790, eqs. 8 to 12).

    For a class c the error of point i is ``m_i = 1 - p_i(c)`` where the label is c and ``p_i(c)`` elsewhere. With the
    errors sorted from large to small, ``m_1 >= m_2 >= ...``, and J(k) the Jaccard loss 1 - IoU of a prediction that is
    wrong at the first k of them,

        L_c = sum_k  m_k (J(k) - J(k-1)),    J(0) = 0.

    Args:
        probabilities_PC: (P, C), rows sum to one.
        labels_P: (P,) int64 class of each point.
        ignore: class whose points are left out.
    """
    labelled_P = labels_P != ignore
    probabilities_CP, labels_P = probabilities_PC[labelled_P].T, labels_P[labelled_P]
    # From here on C counts only the classes present.
    classes_C = labels_P.unique()
    truth_CP = labels_P == classes_C[:, None]
    errors_CP = (truth_CP.to(probabilities_CP.dtype) - probabilities_CP[classes_C]).abs()
    order_CP = _largest_first(errors_CP.detach())
    weights_CP = _jaccard_steps(truth_CP.gather(1, order_CP)).to(errors_CP.dtype)
    return (errors_CP.gather(1, order_CP) * weights_CP).sum() / max(len(classes_C), 1)


def _largest_first(errors_CP: Tensor) -> Tensor:
    """Return the (C, P) int64 order in which each row falls; equal errors, none below 0, keep the order of points."""
    if errors_CP.device.type != "cpu" or errors_CP.dtype != torch.float32:
        return errors_CP.sort(dim=1, descending=True, stable=True).indices
    # Most of a linear probe's time went into that sort: numpy's of integers takes an eighth of it. The bits of floats
    # from 0 up rise with their value; behind them stands the point's number, so that no two keys are equal.
    falling_CP = -errors_CP.view(torch.int32).long() << 32
    keys_CP = falling_CP | torch.arange(errors_CP.shape[1])
    return torch.from_numpy(np.sort(keys_CP.numpy(), axis=1)) & (2**32 - 1)


def _jaccard_steps(truth_CP: Tensor) -> Tensor:
    """J(k) - J(k-1) for k = 1..P, where column k of the boolean ``truth_CP`` is the k-th point to be got wrong.

    In float64: the steps are as small as 1 / P, and float32 would lose their digits in the difference.
    """
    total_C1 = truth_CP.sum(dim=1, keepdim=True, dtype=torch.float64)
    hits_CP = truth_CP.cumsum(dim=1, dtype=torch.float64)
    wrong_P = torch.arange(1, truth_CP.shape[1] + 1, dtype=torch.float64, device=truth_CP.device)
    # Wrong at the first k: of the class's own points all but the hits are left, and k - hits others are claimed.
    jaccard_CP = 1 - (total_C1 - hits_CP) / (total_C1 + wrong_P - hits_CP)
    return torch.diff(jaccard_CP, dim=1, prepend=torch.zeros_like(total_C1))
