"""PPKT: every matched pixel and point pull together, no regions (arXiv:2104.04687)."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.data.batches import PairBatch
from cmcr.losses.info_nce import info_nce
from cmcr.options import Options
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step
from cmcr.processes import gathered_over_processes


class PPKTOptions(Options):
    """Options of PPKT; the defaults are the released ones."""

    temperature: PositiveFloat = 0.07
    """Temperature of the contrast."""
    num_pairs: PositiveInt = 4096
    """Matched pairs drawn from a batch; each is a query, and all others are its negatives."""
    channels: PositiveInt = 64
    """Width of the space in which points and pixels meet."""
    across_processes: bool = False
    """Whether on several devices the pairs of all are each other's negatives (released: no, each device its own)."""


class PPKT(PretrainMethod):
    """Point-to-pixel InfoNCE: L = -1/N sum_i log( exp(p_i.q_i / t) / sum_j exp(p_i.q_j / t) ).

    p_i and q_i are the L2-normalised features of a point and of its pixel, each behind a linear head; the image
    encoder is frozen, its head is learned.
    """

    id, label = "ppkt", "PPKT"
    source = Source(paper="arXiv:2104.04687", code="valeoai/SLidR@14729d0:config/ppkt_nuscenes.yaml")
    Options = PPKTOptions
    options: PPKTOptions

    def __init__(self, options: PPKTOptions, channels: Channels):
        super().__init__(options, channels)
        self.point_head = nn.Linear(channels.points, options.channels)
        self.image_head = nn.Linear(channels.image, options.channels)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Contrast a sample of the batch's pairs."""
        pairs = step.pairs.sample(self.options.num_pairs, step.generator)
        points_NC = F.normalize(self.point_head(step.points_at(pairs)), dim=1)
        pixels_NC = F.normalize(self.image_head(self.targets(step, pairs)), dim=1)
        points_NC = gathered_over_processes(points_NC, self.options.across_processes)
        pixels_NC = gathered_over_processes(pixels_NC, self.options.across_processes)
        return {"info_nce": info_nce(points_NC, pixels_NC, self.options.temperature)}

    def targets(self, step: Step, pairs: PairBatch) -> Tensor:
        """What each point is pulled to, (N, C): here, the teacher's features of its own pixel."""
        return step.pixels_at(pairs)

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:
        """Return the features that meet the pixels', of length one."""
        return {"shared": F.normalize(self.point_head(voxel_VC), dim=1)}

    def pixel_heads(self, image_ICHW: Tensor) -> dict[str, Tensor]:
        """Return the features that meet the points', whose length is made one once they are read at a pixel."""
        return {"shared": self.image_head(image_ICHW.movedim(1, -1)).movedim(-1, 1)}
