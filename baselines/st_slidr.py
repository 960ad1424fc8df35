"""ST-SLidR: SLidR that pushes less apart what the teacher finds alike, and lets the rare count more (CVPR 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from baselines.slidr import Regions, SLidR, SLidROptions
from cmcr.losses.tolerant_nce import tolerant_nce
from cmcr.models.superpixel_pooling import pool_upsampled
from cmcr.pretrain.method import Source, Step
from cmcr.processes import gathered_over_processes


class STSLidROptions(SLidROptions):
    """Options of ST-SLidR."""

    drop_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Leave out this share of a superpixel's negatives, those most alike, and count the others in full (the released
    configuration with balancing: 0.01); null weights every negative by 1 - similarity."""
    balance_threshold: Annotated[float, Field(ge=0, le=1)] | None = 0.5
    """Similarity from which on another superpixel counts as one of the same kind, for the balancing (released: 0.5);
    null does not balance."""


class STSLidR(SLidR):
    """SLidR with logits weighted by 1 - cosine similarity of the teacher's features, and superpixels by their rarity.

    The teacher's features are those before the head, averaged over each superpixel.
    """

    id, label = "st_slidr", "ST-SLidR"
    source = Source(paper="CVPR 2023", code="TRAILab/ST-SLidR@4d698c6:pretrain/lightning_trainer.py")
    Options = STSLidROptions
    options: STSLidROptions

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Contrast all superpixels of the batch that have a point."""
        options, regions = self.options, self.regions(step)
        loss = tolerant_nce(
            self.pooled_points(step, regions),
            self.pooled_pixels(step, regions),
            self.similarity(step, regions),
            options.temperature,
            drop_share=options.drop_share,
            balance_threshold=options.balance_threshold,
        )
        return {"superpixel_nce": loss}

    @torch.no_grad()
    def similarity(self, step: Step, regions: Regions) -> Tensor:
        """Return the (M, M) cosine between the teacher's features of the superpixels."""
        pooled_GC = pool_upsampled(step.image_ICHW, step.superpixels_IHW, regions.number, unit_pixels=False)
        pooled_MC = F.normalize(pooled_GC[regions.seen_M], dim=1)
        pooled_MC = gathered_over_processes(pooled_MC, self.options.across_processes)
        return pooled_MC @ pooled_MC.T
