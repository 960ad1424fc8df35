"""The centre head of CenterPoint (arXiv:2006.11275): things are peaks of a heatmap, and each peak tells its box.

Classes of about the same size share a group: a shared layer, then a heatmap of its classes and the numbers of a box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import AfterValidator, Field, PositiveInt
from torch import Tensor, nn

from cmcr.boxes.detections import Detections
from cmcr.boxes.nms import rotated_nms
from cmcr.data.range_grid import RangeGrid
from cmcr.losses.center_detection import center_box_loss
from cmcr.losses.focal import heatmap_focal
from cmcr.models.center_targets import NUMBERS, boxes_at, center_targets
from cmcr.options import Options, Weight

Share = Annotated[float, Field(ge=0, le=1)]
#: Width of each of the parts of `cmcr.models.center_targets.NUMBERS`: place, z, size, yaw, velocity.
_PARTS = (2, 1, 3, 2, 2)


def _each_once(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    numbers = sorted(number for group in groups for number in group)
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"expected every class from 1 on in one group, found {groups}")
    return groups


class CenterHeadOptions(Options):
    """Groups, losses and decoding; the defaults are CenterPoint's on nuScenes.

    (OpenPCDet@8caccce, tools/cfgs/nuscenes_models/cbgs_voxel0075_res3d_centerpoint.yaml. Its weight of 0.2, which
    CenterPoint gives to velocities, falls on cosine and sine there, because they come in another order; here it is on
    velocities.)
    """

    kind: Literal["centre"] = "centre"
    """Centres."""
    groups: Annotated[tuple[tuple[PositiveInt, ...], ...], AfterValidator(_each_once)]
    """Numbers of the classes of each group, every class once."""
    channels: PositiveInt = 64
    """Of the shared layer and of each part's."""
    heat_weight: Weight = 1.0
    """Of the heatmaps' focal loss."""
    box_weight: Weight = 0.25
    """Of the numbers' L1 loss."""
    velocity_weight: Weight = 0.2
    """Of velocities among these numbers; 0 where a data set has none."""
    peaks: PositiveInt = 500
    """Cells of the highest heat that each group looks at."""
    min_score: Share = 0.1
    """Peaks with less heat are dropped."""
    max_iou: Share = 0.2
    """Two boxes of a group that overlap more, seen from above, are not both kept."""
    at_most: PositiveInt = 83
    """Boxes that a group keeps."""


class GroupOutput(NamedTuple):
    """What one group says of B scans: (B, K, H, W) logits of heat and (B, `NUMBERS`, H, W) numbers."""

    heat: Tensor
    numbers: Tensor


class _Group(nn.Module):
    def __init__(self, num_classes: int, channels: int):
        super().__init__()

        def part(out_channels: int) -> nn.Sequential:
            return nn.Sequential(*_layer(channels, channels), nn.Conv2d(channels, out_channels, 3, padding=1))

        self.heat = part(num_classes)
        self.parts = nn.ModuleList(part(width) for width in _PARTS)
        # At the start every cell is a centre with probability 0.1, as the released heads begin.
        nn.init.constant_(self.heat[-1].bias, -math.log((1 - 0.1) / 0.1))  # type: ignore[arg-type]
        for layer in self.parts.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, map_BCHW: Tensor) -> GroupOutput:
        return GroupOutput(self.heat(map_BCHW), torch.cat([part(map_BCHW) for part in self.parts], dim=1))


class CenterHead(nn.Module):
    """Heatmaps and boxes of all groups on one map."""

    def __init__(self, options: CenterHeadOptions, in_channels: int, grid: RangeGrid, stride: int):
        """Build the head.

        Args:
            options: groups and decoding.
            in_channels: of the map.
            grid: of the network's input.
            stride: its cells along x and y for one of the map.
        """
        super().__init__()
        self.options, self.grid, self.stride = options, grid, stride
        self.shared = nn.Sequential(*_layer(in_channels, options.channels))
        self.groups = nn.ModuleList(_Group(len(group), options.channels) for group in options.groups)

    def forward(self, map_BCHW: Tensor) -> list[GroupOutput]:
        """Return the output of each group."""
        shared = self.shared(map_BCHW)
        return [group(shared) for group in self.groups]

    def losses(
        self,
        outputs: Sequence[GroupOutput],
        boxes: Sequence[Tensor],
        classes: Sequence[Tensor],
        velocities: Sequence[Tensor | None],
    ) -> dict[str, Tensor]:
        """Return the weighted losses ``heat`` and ``box``, summed over the groups; their sum is minimised.

        Args:
            outputs: of `forward`.
            boxes: (N, 7) of each scan.
            classes: (N,) int64 of each scan.
            velocities: (N, 2) of each scan, or None.
        """
        options = self.options
        weights = boxes[0].new_ones(NUMBERS)
        weights[-2:] = options.velocity_weight
        heat_loss, box_loss = boxes[0].new_zeros(2)
        for output, group in zip(outputs, options.groups, strict=True):
            shape = output.heat.shape[-2], output.heat.shape[-1]
            targets = [
                center_targets(box, _within(number, group), velocity, len(group), shape, self.grid, self.stride)
                for box, number, velocity in zip(boxes, classes, velocities, strict=True)
            ]
            heat_loss = heat_loss + heatmap_focal(output.heat, torch.stack([each.heat_KHW for each in targets]))
            rows = output.numbers.flatten(2).transpose(1, 2)
            found = torch.cat([row[each.cell_M] for row, each in zip(rows, targets, strict=True)])
            box_loss = box_loss + center_box_loss(found, torch.cat([each.numbers_M for each in targets]), weights)
        return {"heat": options.heat_weight * heat_loss, "box": options.box_weight * box_loss}

    @torch.no_grad()
    def detect(self, outputs: Sequence[GroupOutput]) -> list[Detections]:
        """Return what was found in each scan, the boxes of all groups together."""
        return [
            self._detect([(o.heat[scan], o.numbers[scan]) for o in outputs]) for scan in range(len(outputs[0].heat))
        ]

    def _detect(self, groups: list[tuple[Tensor, Tensor]]) -> Detections:
        found = []
        for (heat, numbers), group in zip(groups, self.options.groups, strict=True):
            shape = heat.shape[1], heat.shape[2]
            score = heat.sigmoid().flatten()
            peak = torch.nonzero(score >= self.options.min_score).squeeze(1)
            # Not topk, which leaves the order of equal scores open.
            peak = peak[score[peak].argsort(descending=True, stable=True)[: self.options.peaks]]
            score = score[peak]
            cell = peak % (shape[0] * shape[1])
            number = torch.tensor(group, device=heat.device)[peak // (shape[0] * shape[1])]
            boxes, velocity = boxes_at(numbers.flatten(1).T[cell], cell, shape, self.grid, self.stride)
            kept = rotated_nms(boxes, score, self.options.max_iou, self.options.at_most)
            found.append((boxes[kept], score[kept], number[kept], velocity[kept]))
        boxes, score, number, velocity = (torch.cat(parts) for parts in zip(*found, strict=True))
        order = score.argsort(descending=True, stable=True)
        return Detections(boxes[order], score[order], number[order], velocity[order])


def _within(classes_N: Tensor, group: tuple[int, ...]) -> Tensor:
    """Return (N,) int64 place of each class in the group, from 1; 0 where it is of another."""
    place = torch.zeros_like(classes_N)
    for number, class_number in enumerate(group, 1):
        place[classes_N == class_number] = number
    return place


def _layer(in_channels: int, channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
