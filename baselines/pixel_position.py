"""Pixel position: PPKT towards the pixel's own coordinates, to see how much of its gain is image layout."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from baselines.ppkt import PPKT, PPKTOptions
from cmcr.data.batches import PairBatch
from cmcr.pretrain.method import Channels, Source, Step

FREQUENCIES = 6


class PixelPosition(PPKT):
    """The teacher's features are replaced by where the pixel is; no image content is seen.

    Row and column, each scaled to [0, 1], as sines and cosines of ``2^k pi`` for k < 6 (Fourier features,
    arXiv:2006.10739; six frequencies resolve about three pixels of a 200-pixel side).
    """

    id, label = "pixel_position", "Pixel position"
    source = Source(paper="control")

    def __init__(self, options: PPKTOptions, channels: Channels):
        super().__init__(options, Channels(points=channels.points, image=4 * FREQUENCIES))

    def targets(self, step: Step, pairs: PairBatch) -> Tensor:
        """(N, 4 * FREQUENCIES) encoded coordinates of each pair's pixel."""
        height, width = step.batch.image_size
        position_N2 = torch.stack([pairs.row / (height - 1), pairs.column / (width - 1)], dim=1)
        octaves = 2.0 ** torch.arange(FREQUENCIES, device=position_N2.device)
        angle = (position_N2[:, :, None] * octaves * math.pi).flatten(1)
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    def pixel_heads(self, image_ICHW: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Return nothing: the points meet coordinates, no features of the encoder."""
        return {}
