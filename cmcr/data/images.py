"""The images of a scan at training resolution, with the pixels that see its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import PositiveFloat, PositiveInt

from cmcr.data.augment import ImageCrop, crop_image
from cmcr.data.nuscenes import read_image
from cmcr.data.pairs import Pairs, pair_points_with_pixels
from cmcr.data.scan import Scan
from cmcr.options import Options


class ImageOptions(Options):
    """How images enter pre-training."""

    size: tuple[PositiveInt, PositiveInt] = (224, 416)
    """Height and width in pixels at which the image encoder sees them."""
    crop: ImageCrop | None = None
    """Random resized crop and flip; null resizes the whole image."""
    min_depth_m: PositiveFloat = 1.0
    """Points nearer to a camera than this are not paired with its pixels (SLidR: 1 m)."""


@dataclass(frozen=True, eq=False)
class PairedImages:
    """I images of one scan and N matched points and pixels.

    Attributes:
        size: (H, W) of the images as the encoder sees them.
        point: (N,) int64 point of the scan.
        image: (N,) int64 row among the I images.
        row, column: (N,) float32 pixel in [0, H - 1] and [0, W - 1].
        pixels: (I, H, W, 3) uint8, or None where features were computed beforehand.
        features: (I, C, h, w) float16 features of a frozen encoder, or None.
    """

    size: tuple[int, int]
    point: NDArray[np.int64]
    image: NDArray[np.int64]
    row: NDArray[np.float32]
    column: NDArray[np.float32]
    pixels: NDArray[np.uint8] | None = None
    features: NDArray[np.float16] | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        held = self.pixels if self.pixels is not None else self.features
        return 0 if held is None else len(held)


def load_paired_images(
    scan: Scan, options: ImageOptions, rng: np.random.Generator, features: NDArray[np.float16] | None = None
) -> PairedImages:
    """Read the images of ``scan``, bring them to size and find which of their pixels see which points.

    Args:
        scan: with P points in the LiDAR frame, not augmented.
        options: size and crop.
        rng: draws the crops.
        features: (I, C, h, w) features of the whole images. Given, no image file is opened.
    """
    pairs = pair_points_with_pixels(scan.points, scan.cameras, options.min_depth_m)
    if features is not None or options.crop is None:
        row, column = _at_size(pairs, scan, options.size)
        pixels = None if features is not None else np.stack([_resized(c, options.size) for c in scan.cameras])
        return PairedImages(options.size, pairs.point, pairs.camera, row, column, pixels, features)

    images, parts = [], []
    for number, camera in enumerate(scan.cameras):
        mine = np.flatnonzero(pairs.camera == number)
        image, kept, row, column = crop_image(
            read_image(camera), pairs.row[mine], pairs.column[mine], options.size, options.crop, rng
        )
        images.append(image)
        parts.append((pairs.point[mine][kept], np.full(len(row), number), row, column))
    point, image_of_pair, row, column = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairedImages(
        options.size, point, image_of_pair, row.astype(np.float32), column.astype(np.float32), np.stack(images)
    )


def _resized(camera, size: tuple[int, int]) -> NDArray[np.uint8]:
    image = read_image(camera)
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def _at_size(pairs: Pairs, scan: Scan, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Move pixel centres of the full-resolution images to images of ``size``."""
    scale = np.array([(size[0] / c.size[0], size[1] / c.size[1]) for c in scan.cameras])[pairs.camera]
    row = np.clip((pairs.row + 0.5) * scale[:, 0] - 0.5, 0, size[0] - 1)
    column = np.clip((pairs.column + 0.5) * scale[:, 1] - 0.5, 0, size[1] - 1)
    return row.astype(np.float32), column.astype(np.float32)
