"""SECOND and CenterPoint: what they put on the map of a VoxelNet, a 2D network and one of two heads."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from cmcr.boxes.detections import Detections
from cmcr.data.detection_batches import DetectionBatch
from cmcr.models.anchor_head import AnchorHead, AnchorHeadOptions
from cmcr.models.bev import BevBackbone, BevOptions
from cmcr.models.center_head import CenterHead, CenterHeadOptions
from cmcr.models.voxelnet import MAP_STRIDE, VoxelNet

HeadOptions = Annotated[AnchorHeadOptions | CenterHeadOptions, Field(discriminator="kind")]


class Second(nn.Module):
    """All of a detector but its `VoxelNet`, which is what pre-training trains.

    Attributes:
        above: the 2D network.
        head: with anchors (SECOND, Sensors 2018, 18(10), 3337) or with centres (CenterPoint, arXiv:2006.11275).
    """

    def __init__(self, backbone: VoxelNet, bev: BevOptions, head: AnchorHeadOptions | CenterHeadOptions):
        """Build both for the map of ``backbone``, which is only asked for its sizes."""
        super().__init__()
        self.above = BevBackbone(bev, backbone.map_channels)
        height, width = (-(-cells // self.above.stride) for cells in backbone.map_shape)
        stride = MAP_STRIDE * self.above.stride
        self.head: AnchorHead | CenterHead
        if isinstance(head, AnchorHeadOptions):
            self.head = AnchorHead(head, self.above.out_channels, backbone.grid, (height, width), stride)
        else:
            self.head = CenterHead(head, self.above.out_channels, backbone.grid, stride)

    def forward(self, map_BCHW: Tensor) -> Any:
        """Return the output of the head."""
        # With the channels of a cell side by side, 3x3 convolutions of few channels take less time, on a CPU too.
        return self.head(self.above(map_BCHW.contiguous(memory_format=torch.channels_last)))

    def losses(self, outputs: Any, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return the weighted losses of the head; their sum is minimised."""
        if isinstance(self.head, AnchorHead):
            return self.head.losses(outputs, batch.boxes, batch.classes)
        return self.head.losses(outputs, batch.boxes, batch.classes, batch.velocities)

    def detect(self, outputs: Any) -> list[Detections]:
        """Return what is found in each scan."""
        return self.head.detect(outputs)
