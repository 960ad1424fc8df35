"""The images of a scan at training resolution, with the pixels that see its points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from cmcr.data.augment import ImageCrop, Window, draw_window
from cmcr.data.image_files import decode_image
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera, Scan
from cmcr.data.superpixels import SuperpixelFiles
from cmcr.errors import ConfigError, DataError
from cmcr.options import Options

Decode = Callable[[Camera, tuple[int, int]], Image.Image]


class ImageOptions(Options):
    """How images enter pre-training."""

    size: tuple[PositiveInt, PositiveInt] = (224, 416)
    """Height and width in pixels at which the image encoder sees them."""
    crop: ImageCrop | None = None
    """Random resized crop and flip; null resizes the whole image."""
    min_depth_m: PositiveFloat = 1.0
    """Points nearer to a camera than this are not paired with its pixels (SLidR: 1 m)."""
    cache_mb: NonNegativeInt = 0
    """Memory for decoded images in MB, of each loading process. A nuScenes keyframe's six take 26 at their full size,
    less where crops need fewer pixels; it pays where all of a run's keyframes fit."""


@dataclass(frozen=True, eq=False)
class PairedImages:
    """I images of one scan and N matched points and pixels.

    Attributes:
        size: (H, W) of the images as the encoder sees them.
        point: (N,) int64 point of the scan.
        image: (N,) int64 row among the I images.
        row, column: (N,) float32 pixel in [0, H - 1] and [0, W - 1].
        pixels: (I, H, W, 3) uint8, or None where features computed beforehand take their place.
        features: (I, C, h, w) float16 features of a frozen encoder, or None.
        superpixels: (I, H, W) uint16 superpixel of each pixel, or None.
    """

    size: tuple[int, int]
    point: NDArray[np.int64]
    image: NDArray[np.int64]
    row: NDArray[np.float32]
    column: NDArray[np.float32]
    pixels: NDArray[np.uint8] | None = None
    features: NDArray[np.float16] | None = None
    superpixels: NDArray[np.uint16] | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        held = self.pixels if self.pixels is not None else self.features
        return 0 if held is None else len(held)


def load_paired_images(
    scan: Scan,
    options: ImageOptions,
    rng: np.random.Generator,
    features: NDArray[np.float16] | None = None,
    *,
    with_pixels: bool = False,
    superpixels: SuperpixelFiles | None = None,
    decode: Decode | None = None,
) -> PairedImages:
    """Read the images of ``scan``, bring them to size and find which of their pixels see which points.

    Args:
        scan: with P points in the LiDAR frame, not augmented.
        options: size and crop.
        rng: draws the crops.
        features: (I, C, h, w) features of the whole images, which take the place of their pixels.
        with_pixels: whether to read the pixels beside such features too; without it, no image file is opened then.
        superpixels: where those of the images are; they are cropped, resized (nearest) and mirrored with their image.
        decode: an `ImageCache`'s; None decodes each image anew.

    Raises:
        ConfigError: there are features of whole images, but the images are to be cropped.
        DataError: the scan has no images, or one of their files, or of their superpixels', is missing or damaged.
    """
    if features is not None and options.crop is not None:
        raise ConfigError(
            "images.crop: features computed beforehand belong to whole images\n"
            "  way out:  images.crop: null, or features computed in each step"
        )
    if not scan.cameras:
        raise DataError(f"scan {scan.token} of {scan.dataset} has no images to pair its points with")
    pairs = pair_points_with_pixels(scan.points, scan.cameras, options.min_depth_m)
    pixels, regions, parts = [], [], []
    for number, camera in enumerate(scan.cameras):
        mine = pairs.select(pairs.camera == number)
        window = Window.whole(camera.size)
        if options.crop is not None:
            window = draw_window(camera.size, mine.row, mine.column, options.crop, rng)
            mine = mine.select(window.contains(mine.row, mine.column))
        parts.append((mine.point, mine.camera, *window.follow(mine.row, mine.column, options.size)))
        if features is None or with_pixels:
            pixels.append(_view(window, camera, options.size, decode))
        if superpixels is not None:
            whole = Image.fromarray(superpixels.read(camera))
            regions.append(window.view(whole, options.size, Image.Resampling.NEAREST))
    point, image, row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PairedImages(
        options.size,
        point,
        image,
        row,
        column,
        np.stack(pixels) if pixels else None,
        features,
        np.stack(regions) if regions else None,
    )


def no_images(
    size: tuple[int, int], features: NDArray[np.float16] | None, *, with_pixels: bool, with_superpixels: bool
) -> PairedImages:
    """Return what a scan without cameras adds to a batch of others: no image, no pair.

    Args:
        size: (H, W) of the others' images.
        features: (0, C, h, w), where those of the others were computed beforehand.
        with_pixels: see `load_paired_images`.
        with_superpixels: whether the others have some.
    """
    none, nowhere = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    pixels = np.zeros((0, *size, 3), dtype=np.uint8) if features is None or with_pixels else None
    regions = np.zeros((0, *size), dtype=np.uint16) if with_superpixels else None
    return PairedImages(size, none, none, nowhere, nowhere, pixels, features, regions)


def read_resized(camera: Camera, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the whole image of ``camera`` at ``size`` (height, width) as (H, W, 3) uint8.

    Raises:
        DataError: the file is missing or damaged.
    """
    return _view(Window.whole(camera.size), camera, size)


def _view(window: Window, camera: Camera, size: tuple[int, int], decode: Decode | None = None) -> NDArray[np.uint8]:
    """Return the window of the camera's image; the file is decoded at no more pixels than the view needs."""
    height, width = camera.size
    least = (math.ceil(height * size[0] / window.height), math.ceil(width * size[1] / window.width))
    image = (decode or decode_image)(camera, least)
    return window.view(image, size, reduced=round(width / image.width))
