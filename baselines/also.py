"""ALSO: from the feature of a point, tell what is occupied around it; no image is seen (arXiv:2212.05867)."""

from __future__ import annotations

from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from cmcr.data.occupancy_queries import draw_occupancy_queries
from cmcr.losses.occupancy import OccupancyOptions, meet, occupancy_losses
from cmcr.models.occupancy_head import OccupancyHead, OccupancyHeadOptions
from cmcr.options import Options, Weight
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step


class ALSOOptions(Options):
    """Options of ALSO; the defaults are those of the paper and of the released configuration for nuScenes."""

    channels: PositiveInt = 128
    """Width of the features that are asked."""
    occupancy: OccupancyOptions = OccupancyOptions(head=OccupancyHeadOptions(relu_before_output=False))
    """Where and whom occupancy and intensity are asked."""
    occupancy_weight: Weight = 1.0
    """Weight of occupancy."""
    intensity_weight: Weight = 1.0
    """Weight of the intensity of returns; 0 leaves it out."""

    @model_validator(mode="after")
    def _something_is_learned(self) -> ALSOOptions:
        if not self.occupancy_weight and not self.intensity_weight:
            raise ValueError("occupancy_weight and intensity_weight are both 0, so there is nothing to learn")
        return self


class ALSO(PretrainMethod):
    """Occupancy and intensity around the points, asked of each point near a query by itself."""

    id, label = "also", "ALSO"
    source = Source(paper="arXiv:2212.05867", code="valeoai/ALSO@611050e:also_selfsup/configs/cfg/nuscenes.yaml")
    Options = ALSOOptions
    options: ALSOOptions
    needs_images = False

    def __init__(self, options: ALSOOptions, channels: Channels):
        super().__init__(options, channels)
        self.point_head = nn.Linear(channels.points, options.channels)
        self.occupancy_head = OccupancyHead(options.channels, options.occupancy.head)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Ask about places whose state the scan itself tells."""
        batch, options = step.batch, self.options
        queries = draw_occupancy_queries(batch.points_P4, batch.scan_P, options.occupancy.queries, step.generator)
        meetings = meet(queries, batch.points_P4, batch.scan_P, batch.voxel_P, options.occupancy)
        found = occupancy_losses(self.occupancy_head, self.point_head(step.voxel_VC), meetings)
        weights = {"occupancy": options.occupancy_weight, "intensity": options.intensity_weight}
        return {name: weight * found[name] for name, weight in weights.items() if weight}

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:
        """Return the features that are asked."""
        return {"specific": self.point_head(voxel_VC)}
