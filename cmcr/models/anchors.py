"""Anchors: boxes at every place of the map from which detections are measured, and which of them a thing belongs to.

Shapes: A anchors, N boxes of one scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Annotated, NamedTuple

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from cmcr.boxes.coder import direction_bin, encode
from cmcr.boxes.overlap import aligned_bev_iou
from cmcr.data.range_grid import RangeGrid
from cmcr.options import Options

Overlap = Annotated[float, Field(gt=0, le=1)]

#: Along x and along y.
ROTATIONS = (0.0, pi / 2)


class AnchorOptions(Options):
    """The anchor of one class."""

    size_m: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Length, width and height in metres."""
    bottom_m: float
    """Height of its bottom in the LiDAR frame."""
    matched: Overlap
    """An anchor that overlaps a box of its class at least so much (IoU from above) is to find it;"""
    unmatched: Overlap
    """one that overlaps every such box less than this is to find nothing. Between the two it is ignored."""

    @model_validator(mode="after")
    def _in_order(self) -> AnchorOptions:
        if self.unmatched > self.matched:
            raise ValueError(f"unmatched, {self.unmatched}, lies above matched, {self.matched}")
        return self


#: Car, Pedestrian and Cyclist (OpenPCDet@8caccce, tools/cfgs/kitti_models/second.yaml).
KITTI_ANCHORS = (
    AnchorOptions(size_m=(3.9, 1.6, 1.56), bottom_m=-1.78, matched=0.6, unmatched=0.45),
    AnchorOptions(size_m=(0.8, 0.6, 1.73), bottom_m=-0.6, matched=0.5, unmatched=0.35),
    AnchorOptions(size_m=(1.76, 0.6, 1.73), bottom_m=-0.6, matched=0.5, unmatched=0.35),
)


def make_anchors(
    options: Sequence[AnchorOptions], grid: RangeGrid, map_shape: tuple[int, int], stride: int | None = None
) -> Tensor:
    """Return the (H, W, C, R, 7) anchors of C classes in R rotations at the places of a map of H x W cells.

    Args:
        options: of each class.
        grid: of the network below.
        map_shape: H and W.
        stride: cells of the grid for one of the map, which puts the anchors over the middle of what a cell of the map
            sees: convolutions of stride 2 with padding look, for their output ``i``, around input ``2 i``. None spreads
            them from bound to bound, as OpenPCDet does, which moves them against the map by up to one of its cells.
    """
    height, width = map_shape
    low, high, cell = grid.bounds_m[:3], grid.bounds_m[3:], grid.cell_m
    if stride is None:
        x, y = torch.linspace(low[0], high[0], width), torch.linspace(low[1], high[1], height)
    else:
        x, y = (
            low[axis] + (stride * torch.arange(cells) + 0.5) * cell[axis] for axis, cells in enumerate((width, height))
        )
    anchors = torch.empty(height, width, len(options), len(ROTATIONS), 7)
    anchors[..., 0] = x[None, :, None, None]
    anchors[..., 1] = y[:, None, None, None]
    anchors[..., 2] = torch.tensor([each.bottom_m + each.size_m[2] / 2 for each in options])[:, None]
    anchors[..., 3:6] = torch.tensor([each.size_m for each in options])[:, None]
    anchors[..., 6] = torch.tensor(ROTATIONS)
    return anchors


class AnchorTargets(NamedTuple):
    """What A anchors are to find; see `cmcr.losses.anchor_detection.anchor_losses`."""

    labels_A: Tensor
    residuals_A7: Tensor
    bins_A: Tensor


def assign(
    anchors_HWCR7: Tensor, options: Sequence[AnchorOptions], boxes_N7: Tensor, classes_N: Tensor
) -> AnchorTargets:
    """Say which anchors are to find which boxes.

    Anchors and boxes are compared class by class, turned to the nearer axis. The anchors that overlap a box most are to
    find a box too, however little they overlap it, unless no anchor touches it; like every anchor, they take the box
    that they overlap most. (OpenPCDet@8caccce, target_assigner/axis_aligned_target_assigner.py.)

    Args:
        anchors_HWCR7: of `make_anchors`.
        options: of each class, from class 1.
        boxes_N7: boxes of one scan.
        classes_N: (N,) int64; boxes of class 0 belong to no anchor.
    """
    shape = anchors_HWCR7.shape[:4]
    labels = torch.zeros(shape, dtype=torch.int64, device=anchors_HWCR7.device)
    residuals, bins = torch.zeros_like(anchors_HWCR7), torch.zeros_like(labels)
    for number, option in enumerate(options):
        mine = boxes_N7[classes_N == number + 1]
        if len(mine) == 0:
            continue
        anchors = anchors_HWCR7[:, :, number].reshape(-1, 7)
        overlap = aligned_bev_iou(anchors, mine)
        most, box = overlap.max(dim=1)
        best_of_box = overlap.max(dim=0).values
        forced = ((overlap == best_of_box) & (best_of_box > 0)).any(dim=1)
        found = forced | (most >= option.matched)
        label = torch.where(found, number + 1, torch.where(most < option.unmatched, 0, -1))
        labels[:, :, number] = label.view(shape[0], shape[1], -1)
        wanted = torch.zeros_like(anchors)
        wanted[found] = encode(mine[box[found]], anchors[found])
        residuals[:, :, number] = wanted.view(shape[0], shape[1], -1, 7)
        bins[:, :, number] = (direction_bin(mine[:, 6])[box] * found).view(shape[0], shape[1], -1)
    return AnchorTargets(labels.flatten(), residuals.view(-1, 7), bins.flatten())
