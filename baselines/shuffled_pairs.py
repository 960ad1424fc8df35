"""Shuffled pairs: PPKT with the pixels permuted among the pairs, a negative control."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.ppkt import PPKT
from cmcr.data.batches import PairBatch
from cmcr.pretrain.method import Source, Step


class ShuffledPairs(PPKT):
    """What is left of PPKT when a point learns from a random pixel: a gain here would come from something else."""

    id, label = "shuffled_pairs", "Shuffled pairs"
    source = Source(paper="control")

    def targets(self, step: Step, pairs: PairBatch) -> Tensor:
        """The teacher's features of another pair's pixel."""
        order = torch.randperm(len(pairs), generator=step.generator).to(pairs.point.device)
        return super().targets(step, pairs)[order]
