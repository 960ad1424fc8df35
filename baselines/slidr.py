"""SLidR: the points of a superpixel and its pixels pull together as one (arXiv:2203.16258)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.losses.info_nce import info_nce
from cmcr.losses.superpixel_nce import mean_of_groups, superpixel_groups
from cmcr.models.superpixel_pooling import pool_upsampled
from cmcr.options import Options
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step
from cmcr.processes import gathered_over_processes


class SLidROptions(Options):
    """Options of SLidR; the defaults are the released ones."""

    temperature: PositiveFloat = 0.07
    """Temperature of the contrast."""
    channels: PositiveInt = 64
    """Width of the space in which points and pixels meet."""
    unit_before_pooling: bool = True
    """Whether each point and pixel is brought to length one before it is averaged, and the average left as it is
    (released); false brings the average to length one instead, which costs less time."""
    across_processes: bool = False
    """Whether on several devices the superpixels of all are each other's negatives (released: no, each device its
    own)."""


class Regions(NamedTuple):
    """The M superpixels of a batch that have a point, among G = images x superpixels of an image.

    Attributes:
        group_N: (N,) int64 superpixel of each pair, from 0 to G - 1.
        number: superpixels of an image.
        seen_M: (M,) int64 which of the G have a point; rises.
    """

    group_N: Tensor
    number: int
    seen_M: Tensor


class SLidR(PretrainMethod):
    """Superpoint-to-superpixel InfoNCE: L = -1/M sum_s log( exp(f_s.g_s / t) / sum_t exp(f_s.g_t / t) ).

    f_s is the mean feature of the points that project into superpixel s and g_s that of its pixels, each behind a
    linear head; the superpixels of the whole batch are each other's negatives.
    """

    id, label = "slidr", "SLidR"
    source = Source(paper="arXiv:2203.16258", code="valeoai/SLidR@14729d0:pretrain/lightning_trainer.py")
    Options = SLidROptions
    options: SLidROptions
    needs_superpixels = True

    def __init__(self, options: SLidROptions, channels: Channels):
        super().__init__(options, channels)
        self.point_head = nn.Linear(channels.points, options.channels)
        # 1x1; upsampled behind it, and averaged.
        self.image_head = nn.Conv2d(channels.image, options.channels, 1)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Contrast all superpixels of the batch that have a point."""
        regions = self.regions(step)
        superpoints_MC, superpixels_MC = self.pooled_points(step, regions), self.pooled_pixels(step, regions)
        return {"superpixel_nce": info_nce(superpoints_MC, superpixels_MC, self.options.temperature)}

    def regions(self, step: Step) -> Regions:
        """Find the superpixels that have a point, and those of the pairs."""
        pairs, superpixels_IHW = step.pairs, step.superpixels_IHW
        number = int(superpixels_IHW.max()) + 1
        group_N = superpixel_groups(pairs.image, pairs.row, pairs.column, superpixels_IHW, number)
        seen_M = group_N.unique()
        step.log["superpixels"] = torch.tensor(float(len(seen_M)))
        return Regions(group_N, number, seen_M)

    def pooled_points(self, step: Step, regions: Regions) -> Tensor:
        """Return the (M, C) mean features f of the superpixels' points; M of all processes if the options say so."""
        features_VC, unit = self.point_head(step.voxel_VC), self.options.unit_before_pooling
        points_NC = (F.normalize(features_VC, dim=1) if unit else features_VC)[step.batch.voxel_P[step.pairs.point]]
        superpoints_GC, _ = mean_of_groups(points_NC, regions.group_N, len(step.superpixels_IHW) * regions.number)
        superpoints_MC = superpoints_GC[regions.seen_M]
        superpoints_MC = superpoints_MC if unit else F.normalize(superpoints_MC, dim=1)
        return gathered_over_processes(superpoints_MC, self.options.across_processes)

    def pooled_pixels(self, step: Step, regions: Regions) -> Tensor:
        """Return the (M, C) mean features g of the superpixels' pixels; M likewise."""
        unit = self.options.unit_before_pooling
        map_ICHW = self.image_head(step.image_ICHW)
        superpixels_GC = pool_upsampled(map_ICHW, step.superpixels_IHW, regions.number, unit_pixels=unit)
        superpixels_MC = superpixels_GC[regions.seen_M]
        superpixels_MC = superpixels_MC if unit else F.normalize(superpixels_MC, dim=1)
        return gathered_over_processes(superpixels_MC, self.options.across_processes)

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:
        """Return the features that meet the pixels', of length one."""
        return {"shared": F.normalize(self.point_head(voxel_VC), dim=1)}

    def pixel_heads(self, image_ICHW: Tensor) -> dict[str, Tensor]:
        """Return the features that meet the points', whose length is made one after upsampling."""
        return {"shared": self.image_head(image_ICHW)}
