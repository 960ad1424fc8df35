"""Superpoint-to-superpixel contrast, as in SLidR (arXiv:2203.16258).

Shapes: N matched points and pixels, I images of H x W pixels, S superpixels of an image, G = I * S, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmcr.losses.info_nce import info_nce


def superpixel_nce(
    points_NC: Tensor, group_N: Tensor, pixels_ICHW: Tensor, superpixels_IHW: Tensor, number: int, temperature: float
) -> Tensor:
    """The points that project into a superpixel should resemble it more than any other of the batch.

        f_s = mean of the features of the points of s,  g_s = mean of those of its pixels
        L   = -1/M  sum_s  log( exp(f_s . g_s / tau) / sum_t exp(f_s . g_t / tau) )

    over the M superpixels that have a point; one without takes no part, not even as a negative. What is averaged has
    length one, the averages have not and are left so (valeoai/SLidR@14729d0:pretrain/lightning_trainer.py:78, which
    multiplies by sparse one-hot matrices instead of adding where the index says).

    Args:
        points_NC: (N, C) features of each pair's point, rows of length one.
        group_N: (N,) int64 superpixel of each pair's pixel, from 0 to G - 1: see `superpixel_groups`.
        pixels_ICHW: (I, C, H, W) features of all pixels, of length one.
        superpixels_IHW: (I, H, W) int64 superpixel of each pixel within its image, from 0 to S - 1.
        number: S.
        temperature: tau, above 0 (SLidR: 0.07).

    Returns:
        The mean over superpixels with points, a scalar.

    Raises:
        ValueError: no superpixel has a point.
    """
    points_GC, count_G = mean_of_groups(points_NC, group_N, len(superpixels_IHW) * number)
    seen = count_G > 0
    return info_nce(points_GC[seen], mean_of_pixels(pixels_ICHW, superpixels_IHW, number)[seen], temperature)


def superpixel_groups(image_N: Tensor, row_N: Tensor, column_N: Tensor, superpixels_IHW: Tensor, number: int) -> Tensor:
    """Return the (N,) group of pixels: their superpixel, counted on from image to image, ``number`` for each.

    Positions that are not whole take the superpixel of the nearest pixel, halves the even one.
    """
    return image_N * number + superpixels_IHW[image_N, row_N.round().long(), column_N.round().long()]


def mean_of_groups(features_NC: Tensor, group_N: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return the (G, C) mean of the rows of each group, zero where there is none, and the (G,) numbers of rows."""
    total_GC = features_NC.new_zeros(groups, features_NC.shape[1]).index_add(0, group_N, features_NC)
    count_G = torch.bincount(group_N, minlength=groups)
    return total_GC / count_G.clamp(min=1)[:, None], count_G


def mean_of_pixels(features_ICHW: Tensor, superpixels_IHW: Tensor, number: int) -> Tensor:
    """Return the (I * S, C) mean of the pixels of each superpixel, zero where there is none."""
    images, channels = features_ICHW.shape[:2]
    index_IHW = superpixels_IHW.flatten(1)
    count_IS = index_IHW.new_zeros(images, number).scatter_add(1, index_IHW, torch.ones_like(index_IHW))
    # The pixels stay where they are: bringing channels to the end would copy the whole map, forwards and backwards.
    total_ICS = features_ICHW.new_zeros(images, channels, number).scatter_add(
        2, index_IHW[:, None].expand(-1, channels, -1), features_ICHW.flatten(2)
    )
    return (total_ICS / count_IS.clamp(min=1)[:, None]).transpose(1, 2).flatten(0, 1)
