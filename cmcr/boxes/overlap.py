"""How much turned boxes overlap, seen from above and in space.

A box is x, y, z of its centre, length (along its heading), width, height in metres, and yaw in radians: the angle from
the x axis to its heading, towards y. Shapes: N and M boxes, K pairs of boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Corners of a box seen from above, in halves of its length and width, anticlockwise.
_CORNERS = ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0))
#: Pairs whose outlines are cut at a time; it bounds the memory beyond the result.
AT_ONCE = 2**18


def corners_from_above(boxes_N7: Tensor) -> Tensor:
    """Return the (N, 4, 2) corners in the x-y plane: front left, rear left, rear right, front right."""
    local_N42 = boxes_N7.new_tensor(_CORNERS) * boxes_N7[:, None, 3:5] / 2
    cosine, sine = boxes_N7[:, 6].cos()[:, None], boxes_N7[:, 6].sin()[:, None]
    x, y = local_N42.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1) + boxes_N7[:, None, :2]


def intersection_from_above(a_K7: Tensor, b_K7: Tensor) -> Tensor:
    """Return the (K,) areas in square metres that the boxes of each pair share, seen from above.

    In the frame of a, let every place of the plane move to the nearest place of a's rectangle: coordinates are clamped.
    No place inside a moves, and none gets inside, so the outline of b still winds around the same places inside a. The
    area that the moved outline encloses is therefore that of the intersection. It needs no search for crossings and no
    sorting of corners, and is continuous, so that touching, equal and flat boxes are nothing special.
    """
    parts = zip(a_K7.split(AT_ONCE), b_K7.split(AT_ONCE), strict=True)
    return torch.cat([_intersection(a, b) for a, b in parts]) if len(a_K7) else a_K7.new_zeros(0)


def _intersection(a_K7: Tensor, b_K7: Tensor) -> Tensor:
    offset = b_K7[:, :2] - a_K7[:, :2]
    cosine, sine = a_K7[:, 6].cos(), a_K7[:, 6].sin()
    local = b_K7.clone()
    local[:, 0] = cosine * offset[:, 0] + sine * offset[:, 1]
    local[:, 1] = cosine * offset[:, 1] - sine * offset[:, 0]
    local[:, 6] = b_K7[:, 6] - a_K7[:, 6]
    half_K12 = a_K7[:, None, 3:5] / 2
    start_K42 = corners_from_above(local)
    step_K42 = start_K42.roll(-1, dims=1) - start_K42
    # Where along an edge, in 0..1, it enters and leaves the strip |x| <= half length, and likewise |y| <= half width.
    moving = step_K42 != 0
    per_step = torch.where(moving, step_K42, 1).reciprocal()
    first = torch.where(moving, (-half_K12 - start_K42) * per_step, 0).clamp(0, 1)
    second = torch.where(moving, (half_K12 - start_K42) * per_step, 0).clamp(0, 1)
    enter, leave = torch.minimum(first, second), torch.maximum(first, second)
    # Between these four places, in order, the clamped edge is straight.
    (enter_x, enter_y), (leave_x, leave_y) = enter.unbind(-1), leave.unbind(-1)
    second_place = torch.minimum(torch.maximum(enter_x, enter_y), torch.minimum(leave_x, leave_y))
    third_place = torch.maximum(torch.maximum(enter_x, enter_y), torch.minimum(leave_x, leave_y))
    places = [
        torch.zeros_like(enter_x),
        torch.minimum(enter_x, enter_y),
        second_place,
        third_place,
        torch.maximum(leave_x, leave_y),
    ]
    place_K45 = torch.stack(places, -1)
    outline = start_K42[:, :, None] + place_K45[..., None] * step_K42[:, :, None]
    outline = torch.minimum(torch.maximum(outline, -half_K12[:, None]), half_K12[:, None]).flatten(1, 2)
    x, y = outline.unbind(-1)
    area = (x * y.roll(-1, 1) - x.roll(-1, 1) * y).sum(1) / 2
    return area.clamp(min=0)


def bev_iou(a_N7: Tensor, b_M7: Tensor) -> Tensor:
    """Return the (N, M) intersection over union of boxes seen from above; 0 where the union has no area."""
    n, m = _near(a_N7, b_M7)
    shared = intersection_from_above(a_N7[n], b_M7[m])
    area_a, area_b = (boxes[:, 3] * boxes[:, 4] for boxes in (a_N7, b_M7))
    return _spread(shared, area_a[n] + area_b[m] - shared, n, m, (len(a_N7), len(b_M7)))


def iou_3d(a_N7: Tensor, b_M7: Tensor) -> Tensor:
    """Return the (N, M) intersection over union of the boxes' volumes; 0 where the union has none."""
    n, m = _near(a_N7, b_M7)
    a, b = a_N7[n], b_M7[m]
    top = torch.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = torch.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    shared = intersection_from_above(a, b) * (top - bottom).clamp(min=0)
    union = a[:, 3:6].prod(1) + b[:, 3:6].prod(1) - shared
    return _spread(shared, union, n, m, (len(a_N7), len(b_M7)))


def aligned_bev_iou(a_N7: Tensor, b_M7: Tensor) -> Tensor:
    """Return the (N, M) intersection over union from above after each box is turned to the nearer of the two axes.

    So SECOND compares anchors with boxes (OpenPCDet@8caccce, pcdet/utils/box_utils.py, ``boxes3d_nearest_bev_iou``).
    """
    (low_a, high_a), (low_b, high_b) = (_aligned(boxes) for boxes in (a_N7, b_M7))
    size = torch.minimum(high_a[:, None], high_b) - torch.maximum(low_a[:, None], low_b)
    shared = size.clamp(min=0).prod(-1)
    area_a, area_b = (high_a - low_a).prod(-1), (high_b - low_b).prod(-1)
    union = area_a[:, None] + area_b - shared
    return torch.where(union > 0, shared / union, 0)


def _aligned(boxes_N7: Tensor) -> tuple[Tensor, Tensor]:
    across = boxes_N7[:, 6].sin().abs() > boxes_N7[:, 6].cos().abs()
    half = torch.where(across[:, None], boxes_N7[:, [4, 3]], boxes_N7[:, 3:5]) / 2
    return boxes_N7[:, :2] - half, boxes_N7[:, :2] + half


def _near(a_N7: Tensor, b_M7: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (K,) rows of the pairs whose circumcircles meet; all others share nothing."""
    reach_a, reach_b = (boxes[:, 3:5].norm(dim=1) / 2 for boxes in (a_N7, b_M7))
    # Not torch.cdist: it goes through a matrix product that is too rough for boxes far from the origin.
    apart = torch.hypot(a_N7[:, None, 0] - b_M7[:, 0], a_N7[:, None, 1] - b_M7[:, 1])
    n, m = torch.nonzero(apart <= reach_a[:, None] + reach_b, as_tuple=True)
    return n, m


def _spread(shared_K: Tensor, union_K: Tensor, n: Tensor, m: Tensor, shape: tuple[int, int]) -> Tensor:
    out = shared_K.new_zeros(shape)
    out[n, m] = torch.where(union_K > 0, shared_K / torch.where(union_K > 0, union_K, 1), 0)
    return out
