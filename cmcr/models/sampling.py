"""Features at pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from cmcr.data.batches import PairBatch


def sample_pixels(features_ICHW: Tensor, pairs: PairBatch, image_size: tuple[int, int]) -> Tensor:
    """Read feature maps at the pairs' pixels, as if the maps had been upsampled to the image first.

    Equal to ``nn.Upsample(image_size, mode="bilinear", align_corners=True)`` (the decoders of the SLidR family,
    valeoai/SLidR@14729d0:model/image_model.py) followed by indexing, without making the upsampled maps: a linear
    head may be applied after this instead of before it, on N pixels instead of I x H x W.

    Args:
        features_ICHW: (I, C, h, w) maps.
        pairs: N pixels of images of ``image_size``.
        image_size: (H, W).

    Returns:
        (N, C) features.
    """
    (height, width), (h, w) = image_size, features_ICHW.shape[-2:]
    row = pairs.row * ((h - 1) / max(height - 1, 1))
    column = pairs.column * ((w - 1) / max(width - 1, 1))
    top, left = row.floor().clamp(0, h - 1), column.floor().clamp(0, w - 1)
    cells = features_ICHW.permute(0, 2, 3, 1).reshape(-1, features_ICHW.shape[1])
    down, right = (part[:, None].to(cells.dtype) for part in (row - top, column - left))

    def at(r: Tensor, c: Tensor) -> Tensor:
        return cells[(pairs.image * h + r.clamp(max=h - 1).long()) * w + c.clamp(max=w - 1).long()]

    upper = torch.lerp(at(top, left), at(top, left + 1), right)
    lower = torch.lerp(at(top + 1, left), at(top + 1, left + 1), right)
    return torch.lerp(upper, lower, down)
