"""ScaLR: every point is led to the frozen teacher's feature of its pixel; there are no negatives (arXiv:2310.17504)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cmcr.options import Options
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step


class ScaLROptions(Options):
    """Options of ScaLR; the defaults are the released ones."""

    distance: Literal["l2", "cosine"] = "l2"
    """Between features of length one: their Euclidean distance (released), or 1 - their cosine, which is half of its
    square."""
    num_pairs: PositiveInt | None = None
    """Matched pairs drawn from a batch; null takes all (released)."""


class ScaLR(PretrainMethod):
    """Distillation by regression: L = 1/N sum_i | p_i / |p_i| - q_i / |q_i| |.

    p_i is the feature of a point behind a linear head as wide as the teacher, and q_i the teacher's at its pixel, as it
    comes: the image has no head.
    """

    id, label = "scalr", "ScaLR"
    source = Source(paper="arXiv:2310.17504", code="valeoai/ScaLR@0b310a8:utils/distiller.py")
    Options = ScaLROptions
    options: ScaLROptions

    def __init__(self, options: ScaLROptions, channels: Channels):
        super().__init__(options, channels)
        self.point_head = nn.Linear(channels.points, channels.image)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Compare points and their pixels."""
        number, pairs = self.options.num_pairs, step.pairs
        pairs = pairs if number is None else pairs.sample(number, step.generator)
        # The head comes first: there are fewer voxels than pairs.
        points_NC = F.normalize(self.point_head(step.voxel_VC), dim=1)[step.batch.voxel_P[pairs.point]]
        pixels_NC = F.normalize(step.pixels_at(pairs), dim=1)
        if self.options.distance == "l2":
            return {"regression": (points_NC - pixels_NC).norm(dim=1).mean()}
        return {"regression": 1 - (points_NC * pixels_NC).sum(dim=1).mean()}

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:
        """Return the features that meet the teacher's, of length one."""
        return {"shared": F.normalize(self.point_head(voxel_VC), dim=1)}

    def pixel_heads(self, image_ICHW: Tensor) -> dict[str, Tensor]:
        """Return the teacher's features as they are; their length is made one after upsampling."""
        return {"shared": image_ICHW}
