"""Template: a whole method in its smallest form; copy this file and change it (docs/add-a-method.md)."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cmcr.options import Options
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step


class TemplateOptions(Options):
    """What a config can set under ``methods.<row>.options``: a type, a default, and a sentence for each."""

    num_pairs: PositiveInt = 1024
    """Matched pairs drawn from a batch."""


class Template(PretrainMethod):
    """A point learns the teacher's feature of its pixel: L = 1 - 1/N sum_i cos(p_i, q_i).

    The docstring holds the equation. Shapes: N pairs, V voxels, C channels.
    """

    # The id is the name of the file, and of folders and rows; the label is for print.
    id, label = "template", "Template"
    source = Source(paper="none: a template")
    Options = TemplateOptions
    options: TemplateOptions
    # What else a class may say, with its default: needs_images = True, needs_pixels = False, needs_superpixels = False,
    # backbones = ("minkunet", "voxelnet").

    def __init__(self, options: TemplateOptions, channels: Channels):
        super().__init__(options, channels)
        self.point_head = nn.Linear(channels.points, channels.image)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Return the named losses of one step, already weighted. Every random choice is step.generator's."""
        pairs = step.pairs.sample(self.options.num_pairs, step.generator)
        points_NC = self.point_head(step.points_at(pairs))
        pixels_NC = step.pixels_at(pairs)
        return {"cosine": 1 - F.cosine_similarity(points_NC, pixels_NC).mean()}

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:
        """Return what the heads make of the backbone's features, for diagnostics; may be left out."""
        return {"shared": F.normalize(self.point_head(voxel_VC), dim=1)}
