"""The anchor head of SECOND: at every place of the map, class, box and direction for each anchor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from cmcr.boxes.coder import decode, with_direction
from cmcr.boxes.detections import Detections
from cmcr.boxes.nms import rotated_nms
from cmcr.data.range_grid import RangeGrid
from cmcr.losses.anchor_detection import anchor_losses
from cmcr.models.anchors import KITTI_ANCHORS, ROTATIONS, AnchorOptions, assign, make_anchors
from cmcr.options import Options, Weight

Share = Annotated[float, Field(ge=0, le=1)]


class AnchorHeadOptions(Options):
    """Anchors, losses and decoding; the defaults are SECOND's on KITTI (OpenPCDet@8caccce, second.yaml)."""

    kind: Literal["second"] = "second"
    """Anchors."""
    anchors: tuple[AnchorOptions, ...] = KITTI_ANCHORS
    """One for each class, from class 1."""
    placed: Literal["bounds", "cells"] = "bounds"
    """Where anchors stand. As released they are spread from bound to bound, so they lie by up to a cell of the map
    beside what the map sees there: 0.4 m in KITTI's grid, but more in one with larger cells. Or each over the middle of
    its cell."""
    class_weight: Weight = 1.0
    """Of the focal loss."""
    box_weight: Weight = 2.0
    """Of the residuals' smooth L1 loss."""
    direction_weight: Weight = 0.2
    """Of the cross-entropy of front and back."""
    min_score: Share = 0.1
    """Boxes with a lower score are dropped before any other."""
    candidates: PositiveInt = 4096
    """Boxes of the highest scores that suppression looks at."""
    max_iou: Share = 0.01
    """Two boxes that overlap more, seen from above, are not both kept, whatever their classes."""
    at_most: PositiveInt = 500
    """Boxes that are kept."""


class AnchorHead(nn.Module):
    """1x1 convolutions on the map; A = H W C R anchors, K = C classes."""

    def __init__(
        self, options: AnchorHeadOptions, in_channels: int, grid: RangeGrid, map_shape: tuple[int, int], stride: int
    ):
        """Look at a map of ``map_shape`` (H, W), of which a cell stands for ``stride`` of the grid along x and y."""
        super().__init__()
        self.options = options
        self.num_classes = len(options.anchors)
        per_place = self.num_classes * len(ROTATIONS)
        self.classes = nn.Conv2d(in_channels, per_place * self.num_classes, 1)
        self.boxes = nn.Conv2d(in_channels, per_place * 7, 1)
        self.directions = nn.Conv2d(in_channels, per_place * 2, 1)
        # At the start every anchor holds a thing with probability 0.01 (arXiv:1708.02002, section 4.1).
        nn.init.constant_(self.classes.bias, -math.log((1 - 0.01) / 0.01))  # type: ignore[arg-type]
        nn.init.normal_(self.boxes.weight, std=0.001)
        anchors = make_anchors(options.anchors, grid, map_shape, stride if options.placed == "cells" else None)
        self.register_buffer("anchors_HWCR7", anchors, persistent=False)
        self.anchors_HWCR7: Tensor

    def forward(self, map_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, A, K) class logits, (B, A, 7) residuals and (B, A, 2) direction logits."""
        scans = len(map_BCHW)
        outputs = []
        for layer, width in ((self.classes, self.num_classes), (self.boxes, 7), (self.directions, 2)):
            outputs.append(layer(map_BCHW).permute(0, 2, 3, 1).reshape(scans, -1, width))
        return outputs[0], outputs[1], outputs[2]

    def losses(
        self, outputs: tuple[Tensor, Tensor, Tensor], boxes: Sequence[Tensor], classes: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return the weighted losses ``class``, ``box`` and ``direction``; their sum is minimised.

        Args:
            outputs: of `forward`.
            boxes: (N, 7) of each scan.
            classes: (N,) int64 of each scan; boxes of class 0 are not learned.
        """
        targets = [
            assign(self.anchors_HWCR7, self.options.anchors, box, number)
            for box, number in zip(boxes, classes, strict=True)
        ]
        found = anchor_losses(*outputs, *(torch.stack(parts) for parts in zip(*targets, strict=True)))
        options = self.options
        weights = {"class": options.class_weight, "box": options.box_weight, "direction": options.direction_weight}
        return {name: weights[name] * loss for name, loss in found.items()}

    @torch.no_grad()
    def detect(self, outputs: tuple[Tensor, Tensor, Tensor]) -> list[Detections]:
        """Return what was found in each scan."""
        return [self._detect(*parts) for parts in zip(*outputs, strict=True)]

    def _detect(self, logits_AK: Tensor, residuals_A7: Tensor, directions_A2: Tensor) -> Detections:
        options = self.options
        score, number = logits_AK.sigmoid().max(dim=1)
        rows = torch.nonzero(score >= options.min_score).squeeze(1)
        rows = rows[score[rows].argsort(descending=True, stable=True)[: options.candidates]]
        boxes = decode(residuals_A7[rows], self.anchors_HWCR7.view(-1, 7)[rows])
        yaw = with_direction(boxes[:, 6], directions_A2[rows].argmax(dim=1))
        boxes = torch.cat([boxes[:, :6], yaw[:, None]], dim=1)
        kept = rotated_nms(boxes, score[rows], options.max_iou, options.at_most)
        return Detections(boxes[kept], score[rows][kept], number[rows][kept] + 1)
