"""What the camera cannot see, the LiDAR tells: features of points at masked pixels.

Shapes: I images of H x W pixels, C channels, N matched points and pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmcr.data.batches import PairBatch
from cmcr.data.image_masks import pair_is_masked


def replace_masked_features(
    image_ICHW: Tensor, point_NC: Tensor, pairs: PairBatch, distance_N: Tensor, masks_IHW: Tensor
) -> Tensor:
    """Put the feature of the point that projects to a masked pixel in the place of the pixel's own.

    This is the "feature replacement in masked area" of the method figure of CMCR (arXiv:2412.08973), which the
    released code lacks: Q2D becomes Q3D wherever the pixel is masked and some point projects to it. A masked pixel
    without a point keeps its feature, and so does every pixel that is not masked. Where several points project to one
    pixel, the nearest hides the others; of equally near ones, the first pair is taken.

    Gradients reach the points that were put in, and the pixels that kept their place.

    Args:
        image_ICHW: (I, C, H, W) Q2D, at the resolution of the masks.
        point_NC: (N, C) Q3D of the pairs' points.
        pairs: N points and the pixels they project to, of images of H x W.
        distance_N: (N,) how far each pair's point is from the camera; only the order of points at one pixel matters.
            The range from the LiDAR may stand for it: on a nuScenes keyframe it picks another point at 2 of 22,049
            pixels of 224 x 416 images, at 236 of 20,842 pixels of 112 x 200 ones.
        masks_IHW: (I, H, W) bool.

    Returns:
        (I, C, H, W), new.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    count, channels, height, width = image_ICHW.shape
    if masks_IHW.shape != (count, height, width) or point_NC.shape != (len(pairs), channels):
        raise ValueError(
            f"expected masks of {(count, height, width)} and points of {(len(pairs), channels)}, "
            f"found {tuple(masks_IHW.shape)} and {tuple(point_NC.shape)}"
        )
    masked = torch.nonzero(pair_is_masked(pairs, masks_IHW)).squeeze(1)
    masked = masked[distance_N[masked].argsort(stable=True)]
    pixel = (pairs.image[masked] * height + pairs.row[masked].round().long()) * width
    pixel = pixel + pairs.column[masked].round().long()
    # Near to far within each pixel, pixel after pixel: the first of each pixel is the one to be seen.
    pixel, order = pixel.sort(stable=True)
    is_first = torch.ones_like(pixel, dtype=torch.bool)
    is_first[1:] = pixel[1:] != pixel[:-1]
    seen = masked[order[is_first]]

    cells = image_ICHW.permute(0, 2, 3, 1).flatten(0, 2)
    cells = cells.index_copy(0, pixel[is_first], point_NC[seen].to(cells.dtype))
    return cells.unflatten(0, (count, height, width)).permute(0, 3, 1, 2)
