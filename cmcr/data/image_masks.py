"""Masked images: of some images, a share of the square patches is blacked out.

Shapes: I images of H x W pixels as the image encoder sees them, N matched points and pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from cmcr.data.augment import Probability
from cmcr.data.batches import PairBatch
from cmcr.errors import ConfigError
from cmcr.options import Options


class ImageMaskOptions(Options):
    """What is blacked out; the defaults are those of CMCR (Eaphan/CMCR@36654d5:pretrain/dataloader_nuscenes.py)."""

    probability: Probability = 0.5
    """Probability that an image is masked at all; drawn for each camera."""
    ratio: Probability = 0.5
    """Share of a masked image's patches that is blacked out, to the nearest whole patch. (The released loader tosses a
    coin for each patch, so that the share itself varies.)"""
    patch_size_px: PositiveInt = 16
    """Edge of a patch in pixels of the image as the encoder sees it. (The released loader masks the camera's full
    image before it is resized: 16 of 900 rows are 4 of 224.)"""
    lose_pairs: bool = False
    """Whether pairs are lost as in the released loader, which takes ``1 - mask`` for a filter. It is an index: each
    masked pair becomes the first of its image, and each other one the second. For comparison only."""


def draw_image_masks(
    count: int, size: tuple[int, int], options: ImageMaskOptions, generator: torch.Generator
) -> Tensor:
    """Draw which pixels of ``count`` images are blacked out.

    Patches are counted from the top left; what is left over at the lower and right edge is no whole patch and stays.

    Args:
        count: I.
        size: (H, W).
        options: how much, and in which patches.
        generator: on the CPU; draws as many numbers whatever the probability and the ratio are.

    Returns:
        (I, H, W) bool on the CPU, True where a pixel is blacked out.

    Raises:
        ConfigError: not one patch fits into an image.
    """
    (height, width), patch = size, options.patch_size_px
    rows, columns = height // patch, width // patch
    if not rows or not columns:
        raise ConfigError(
            f"patch_size_px: a patch must fit into the images of {height} x {width} pixels, found {patch}\n"
            f"  way out:  patch_size_px of at most {min(size)}, or larger images"
        )
    masked_I = torch.rand(count, generator=generator) < options.probability
    order_IK = torch.rand(count, rows * columns, generator=generator).argsort(dim=1)
    chosen_IK = torch.zeros_like(order_IK, dtype=torch.bool)
    chosen_IK.scatter_(1, order_IK[:, : round(options.ratio * rows * columns)], True)
    patches = (chosen_IK & masked_I[:, None]).unflatten(1, (rows, columns))
    pixels = patches.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)
    return F.pad(pixels, (0, width - columns * patch, 0, height - rows * patch))


def black_out(images_I3HW: Tensor, masks_IHW: Tensor) -> Tensor:
    """Return the images with masked pixels at 0, as the encoder gets to see them."""
    return images_I3HW.masked_fill(masks_IHW[:, None], 0)


def pair_is_masked(pairs: PairBatch, masks_IHW: Tensor) -> Tensor:
    """Return the (N,) mask of the pairs whose pixel, the nearest one, is blacked out."""
    return masks_IHW[pairs.image, pairs.row.round().long(), pairs.column.round().long()]


def unmasked_pairs(pairs: PairBatch, masks_IHW: Tensor, options: ImageMaskOptions, tokens: Sequence[str]) -> PairBatch:
    """Return the pairs whose pixel can be seen: those that a contrast between points and pixels may use.

    (Unless ``options.lose_pairs``.)

    Args:
        pairs: of the batch.
        masks_IHW: of the batch's images.
        options: that the masks were drawn with, for the message.
        tokens: the batch's scans, for the message.

    Raises:
        ConfigError: none is left.
    """
    masked_N = pair_is_masked(pairs, masks_IHW)
    kept = _lose(pairs, masked_N) if options.lose_pairs else pairs.take(~masked_N)
    if not len(kept):
        raise ConfigError(
            f"ratio {options.ratio:g}, patch_size_px {options.patch_size_px}: none of the {len(pairs)} matched points "
            f"and pixels of the scans {', '.join(tokens)} is left unmasked\n"
            "  way out:  a lower ratio or probability, smaller patches, or scans whose images see points"
        )
    return kept


def _lose(pairs: PairBatch, masked_N: Tensor) -> PairBatch:
    """Return as many pairs, but of each image only the first two; see `ImageMaskOptions.lose_pairs`."""
    kept = [masked_N.nonzero().squeeze(1)[:0]]
    for image in pairs.image.unique():
        mine = (pairs.image == image).nonzero().squeeze(1)
        # The released code fails where an image has a single pair; here it stays.
        kept.append(mine[(~masked_N[mine]).long().clamp(max=len(mine) - 1)])
    return pairs.take(torch.cat(kept))
