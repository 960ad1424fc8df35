"""Features of superpixels from a coarse map, as if it had been upsampled to the image first.

Upsampling and averaging are both linear, so the mean over a superpixel is a weighted mean of the map's cells, and no
map at the image's resolution is made. That holds even where each pixel's feature is brought to length one in between:
the length is one number for each pixel, and follows from the products of the four cells around it.

Shapes: I images of H x W pixels, S superpixels of an image, C channels, h x w cells, four corners of a cell's square.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_upsampled(map_IChw: Tensor, superpixels_IHW: Tensor, number: int, *, unit_pixels: bool) -> Tensor:
    """Return the (I * S, C) mean feature over the pixels of each superpixel, zero where there is none.

    Equal to ``mean_of_pixels(upsample(map))``, or to ``mean_of_pixels(normalize(upsample(map)))`` with ``unit_pixels``,
    where upsample is bilinear with ``align_corners=True`` (as in `cmcr.models.sampling` and the decoders of SLidR).

    Args:
        map_IChw: (I, C, h, w) features.
        superpixels_IHW: (I, H, W) int64 superpixel of each pixel within its image, from 0 to S - 1.
        number: S.
        unit_pixels: whether each pixel's feature is brought to length one before it is averaged.
    """
    map_IChw = map_IChw.to(torch.promote_types(map_IChw.dtype, torch.float32))  # sums of many small weights
    images, cells = len(map_IChw), map_IChw.shape[-2] * map_IChw.shape[-1]
    corner_4HW, weight_4HW = _corners(superpixels_IHW.shape[-2:], map_IChw.shape[-2:], map_IChw)
    superpixel_IP = superpixels_IHW.flatten(1)
    count_IS = superpixel_IP.new_zeros(images, number).scatter_add(1, superpixel_IP, torch.ones_like(superpixel_IP))
    scale_IP = 1 / count_IS.clamp(min=1).to(map_IChw.dtype).gather(1, superpixel_IP)
    if unit_pixels:
        scale_IP = scale_IP / _lengths(map_IChw, corner_4HW[0], weight_4HW)
    share_IK = map_IChw.new_zeros(images, number * cells)
    for corner_P, weight_P in zip(corner_4HW, weight_4HW, strict=True):
        share_IK = share_IK.scatter_add(1, superpixel_IP * cells + corner_P, scale_IP * weight_P)
    return (share_IK.view(images, number, cells) @ map_IChw.flatten(2).transpose(1, 2)).flatten(0, 1)


def _corners(size: tuple[int, ...], coarse: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (4, H * W) cells around each pixel, from the upper left to the lower right, and their weights."""
    along = []
    for pixels, cells in zip(size, coarse, strict=True):
        place = torch.arange(pixels, device=like.device, dtype=like.dtype) * ((cells - 1) / max(pixels - 1, 1))
        place = place.clamp(max=cells - 1)  # rounding must not give the cell beyond the last a weight
        first = place.floor()
        part = place - first
        along.append((torch.stack([first, (first + 1).clamp(max=cells - 1)]).long(), torch.stack([1 - part, part])))
    (row_2H, down_2H), (column_2W, right_2W) = along
    corner = row_2H[:, None, :, None] * coarse[1] + column_2W[None, :, None]
    weight = down_2H[:, None, :, None] * right_2W[None, :, None]
    return corner.flatten(2).flatten(0, 1), weight.flatten(2).flatten(0, 1)


def _lengths(map_IChw: Tensor, first_P: Tensor, weight_4P: Tensor) -> Tensor:
    """Return the (I, P) lengths of interpolated features: |sum_a w_a f_a|^2 = sum_ab w_a w_b f_a . f_b."""

    def product(one: Tensor, other: Tensor) -> Tensor:
        """Return (I, h, w) products of neighbours; where one lies beyond the map its weight is 0, and so is this."""
        found = (one * other).sum(dim=1)
        return F.pad(found, (0, width - found.shape[-1], 0, height - found.shape[-2]))

    height, width = map_IChw.shape[-2:]
    upper, lower = map_IChw[..., :-1, :], map_IChw[..., 1:, :]
    own, down = product(map_IChw, map_IChw), product(upper, lower)
    across = product(map_IChw[..., :-1], map_IChw[..., 1:])
    falling, rising = product(upper[..., :-1], lower[..., 1:]), product(upper[..., 1:], lower[..., :-1])
    # Of the square whose upper left corner is the cell; corners are numbered as in `_corners`.
    products = {
        **{(0, 0): own, (1, 1): _moved(own, 0, 1), (2, 2): _moved(own, 1, 0), (3, 3): _moved(own, 1, 1)},
        **{(0, 1): across, (2, 3): _moved(across, 1, 0), (0, 2): down, (1, 3): _moved(down, 0, 1)},
        **{(0, 3): falling, (1, 2): rising},
    }
    product_IKQ = torch.stack([product_Ihw.flatten(1) for product_Ihw in products.values()], dim=1)
    weight_KP = torch.stack([weight_4P[a] * weight_4P[b] * (1 if a == b else 2) for a, b in products])
    square_IP = (product_IKQ[:, :, first_P] * weight_KP).sum(dim=1)
    # Where opposite features cancel, rounding may leave a square below zero.
    return square_IP.clamp(min=torch.finfo(square_IP.dtype).eps ** 2).sqrt()


def _moved(map_Ihw: Tensor, rows: int, columns: int) -> Tensor:
    """Return the (I, h, w) map of each cell's neighbour so many rows below and columns to the right, 0 beyond."""
    return F.pad(map_Ihw[:, rows:, columns:], (0, columns, 0, rows))
