"""SECOND and CenterPoint: VoxelNet, the network on the map from above, and one of the two heads."""

from __future__ import annotations

from torch import Tensor, nn

from cmcr.boxes.detections import Detections
from cmcr.data.detection_batches import DetectionBatch
from cmcr.models.anchor_head import AnchorHead, AnchorHeadOptions
from cmcr.models.bev import BevBackbone, BevOptions
from cmcr.models.center_head import CenterHead, CenterHeadOptions
from cmcr.models.voxelnet import MAP_STRIDE, VoxelNet


class Second(nn.Module):
    """A detector around a `VoxelNet`, which is what pre-training trains.

    Attributes:
        backbone: the VoxelNet.
        above: the 2D network.
        head: with anchors (SECOND, Sensors 2018, 18(10), 3337) or with centres (CenterPoint, arXiv:2006.11275).
    """

    def __init__(self, backbone: VoxelNet, bev: BevOptions, head: AnchorHeadOptions | CenterHeadOptions):
        super().__init__()
        self.backbone = backbone
        self.above = BevBackbone(bev, backbone.map_channels)
        height, width = (-(-cells // self.above.stride) for cells in backbone.map_shape)
        self.head: AnchorHead | CenterHead
        if isinstance(head, AnchorHeadOptions):
            self.head = AnchorHead(head, self.above.out_channels, backbone.grid, (height, width))
        else:
            self.head = CenterHead(head, self.above.out_channels, backbone.grid, MAP_STRIDE * self.above.stride)

    def forward(self, batch: DetectionBatch) -> Tensor:
        """Return the (B, C, H, W) map that the head reads."""
        return self.above(self.backbone(batch.features_V4, batch.coordinates_V4, len(batch)))

    def losses(self, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return the weighted losses of the head; their sum is minimised."""
        map_BCHW = self(batch)
        if isinstance(self.head, AnchorHead):
            return self.head.losses(self.head(map_BCHW), batch.boxes, batch.classes)
        return self.head.losses(self.head(map_BCHW), batch.boxes, batch.classes, batch.velocities)

    def detect(self, batch: DetectionBatch) -> list[Detections]:
        """Return what is found in each scan."""
        map_BCHW = self(batch)
        if isinstance(self.head, AnchorHead):
            return self.head.detect(self.head(map_BCHW))
        return self.head.detect(self.head(map_BCHW))
