"""Boxes as a network describes them: how they differ from anchors (SECOND, Sensors 2018; VoxelNet, arXiv:1711.06396).

Shapes: N boxes, each with its anchor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Two bins of half a turn tell front from back; they start at 45 degrees, so that the usual headings, along
#: the road and across it, lie in the middle of a bin (OpenPCDet@8caccce, tools/cfgs/kitti_models/second.yaml).
DIRECTION_OFFSET = math.pi / 4


def encode(boxes_N7: Tensor, anchors_N7: Tensor) -> Tensor:
    """Return (N, 7) residuals: (x - x_a) / d, (y - y_a) / d, (z - z_a) / h_a, log l / l_a, ..., yaw - yaw_a.

    d is the diagonal of the anchor's floor.
    """
    diagonal = anchors_N7[:, 3:5].norm(dim=1, keepdim=True)
    return torch.cat(
        [
            (boxes_N7[:, :2] - anchors_N7[:, :2]) / diagonal,
            (boxes_N7[:, 2:3] - anchors_N7[:, 2:3]) / anchors_N7[:, 5:6],
            (boxes_N7[:, 3:6] / anchors_N7[:, 3:6]).log(),
            boxes_N7[:, 6:] - anchors_N7[:, 6:],
        ],
        dim=1,
    )


def decode(residuals_N7: Tensor, anchors_N7: Tensor) -> Tensor:
    """Undo `encode`."""
    diagonal = anchors_N7[:, 3:5].norm(dim=1, keepdim=True)
    return torch.cat(
        [
            residuals_N7[:, :2] * diagonal + anchors_N7[:, :2],
            residuals_N7[:, 2:3] * anchors_N7[:, 5:6] + anchors_N7[:, 2:3],
            residuals_N7[:, 3:6].exp() * anchors_N7[:, 3:6],
            residuals_N7[:, 6:] + anchors_N7[:, 6:],
        ],
        dim=1,
    )


def direction_bin(yaw_N: Tensor) -> Tensor:
    """Return (N,) int64 0 for headings from 45 to 225 degrees, 1 for the others.

    The loss on yaw goes by the sine of its error, which cannot tell a box from the same box turned by half a turn.
    """
    return (torch.remainder(yaw_N - DIRECTION_OFFSET, 2 * math.pi) / math.pi).floor().long().clamp(max=1)


def with_direction(yaw_N: Tensor, bin_N: Tensor) -> Tensor:
    """Return the (N,) yaw, in [45, 405) degrees, that is equal to ``yaw_N`` up to half a turn and lies in the bin."""
    return torch.remainder(yaw_N - DIRECTION_OFFSET, math.pi) + DIRECTION_OFFSET + math.pi * bin_N
