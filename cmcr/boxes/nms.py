"""Non-maximum suppression of turned boxes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cmcr.boxes.overlap import bev_iou


def rotated_nms(boxes_N7: Tensor, scores_N: Tensor, max_iou: float, at_most: int | None = None) -> Tensor:
    """Return the boxes to keep: each, from the highest score down, unless one kept before overlaps it too much.

    Args:
        boxes_N7: (N, 7) as in `cmcr.boxes.overlap`.
        scores_N: (N,); boxes of equal score keep their order.
        max_iou: largest intersection over union, seen from above, of two boxes that are both kept.
        at_most: how many to keep; None keeps all.

    Returns:
        (K,) int64 rows, the highest score first.
    """
    order = scores_N.argsort(descending=True, stable=True)
    boxes_N7 = boxes_N7[order]
    # Which later boxes each box suppresses, once for all; what is left is a walk over small lists.
    first, later = torch.nonzero(bev_iou(boxes_N7, boxes_N7).triu(diagonal=1) > max_iou, as_tuple=True)
    start = torch.searchsorted(first, torch.arange(len(order) + 1, device=first.device)).tolist()
    suppressed = later.cpu().numpy()
    alive = np.ones(len(order), dtype=bool)
    kept: list[int] = []
    for row in range(len(order)):
        if alive[row]:
            kept.append(row)
            if len(kept) == at_most:
                break
            alive[suppressed[start[row] : start[row + 1]]] = False
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]
