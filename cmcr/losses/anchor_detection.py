"""What SECOND is trained with: class, box and direction at each anchor (Sensors 2018, 18(10), 3337, section 3.3).

Shapes: B scans, A anchors, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.losses.focal import focal

#: Below this error the loss of a residual is a parabola (OpenPCDet@8caccce, pcdet/utils/loss_utils.py).
BETA = 1 / 9


def anchor_losses(
    logits_BAK: Tensor,
    residuals_BA7: Tensor,
    directions_BA2: Tensor,
    labels_BA: Tensor,
    wanted_BA7: Tensor,
    bins_BA: Tensor,
) -> dict[str, Tensor]:
    """Compare predictions with what was assigned to the anchors.

        L_class = 1/B sum_b 1/N_b sum_(a, k)  focal(logit, is a of class k)        over anchors that are not ignored
        L_box   = 1/B sum_b 1/N_b sum_(a, i)  smoothL1(residual_i - wanted_i)      over anchors with a box,
                                              the yaw's error replaced by its sine
        L_dir   = 1/B sum_b 1/N_b sum_a       cross-entropy(direction, bin)        over anchors with a box

    N_b is the number of anchors of scan b that have a box, at least 1.

    Args:
        logits_BAK: (B, A, K).
        residuals_BA7: (B, A, 7) as `cmcr.boxes.coder.encode` makes them.
        directions_BA2: (B, A, 2) logits of the bins of `cmcr.boxes.coder.direction_bin`.
        labels_BA: (B, A) int64 class from 1, 0 for none, -1 for anchors that are ignored.
        wanted_BA7: (B, A, 7) residuals of each anchor's box; anything where it has none.
        bins_BA: (B, A) int64 bin of each anchor's box; 0 or 1 where it has none.

    Returns:
        ``class``, ``box``, ``direction``, scalars; SECOND weighs them 1, 2, 0.2.
    """
    scans = len(labels_BA)
    has_box = labels_BA > 0
    per_box = 1 / (has_box.sum(dim=1, keepdim=True).clamp(min=1) * scans)
    is_class = F.one_hot(labels_BA.clamp(min=0), logits_BAK.shape[2] + 1)[..., 1:].to(logits_BAK.dtype)
    class_BA = focal(logits_BAK, is_class).sum(dim=2) * (labels_BA >= 0)
    scan, _ = torch.nonzero(has_box, as_tuple=True)
    weight = per_box[scan, 0]
    error = residuals_BA7[has_box] - wanted_BA7[has_box]
    error = torch.cat([error[:, :6], error[:, 6:].sin()], dim=1)
    box = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none").sum(dim=1)
    direction = F.cross_entropy(directions_BA2[has_box], bins_BA[has_box], reduction="none")
    return {
        "class": (class_BA * per_box).sum(),
        "box": (box * weight).sum(),
        "direction": (direction * weight).sum(),
    }
