"""Superpixels: an image cut into regions of similar colour, as SLidR does (SLIC; superpixel_segmenter.py there).

They belong to an image at its full resolution, take a second or two of it, and so are computed once and kept: one PNG
file for each image, whose pixels are region numbers and whose text says how they were made.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from cmcr.data.image_files import DAMAGE, opened, read_image
from cmcr.data.index import ScanIndex
from cmcr.data.scan import Camera
from cmcr.errors import DataError
from cmcr.files import atomic_path
from cmcr.options import Options
from cmcr.progress import progress
from cmcr.reading import parse_json, reason_of

logger = logging.getLogger(__name__)

#: The PNG text that holds what the superpixels were made of.
_TEXT = "cmcr superpixels"


class SuperpixelOptions(Options):
    """How images are cut into superpixels; the defaults are SLidR's, for images of 900 x 1600 pixels."""

    segments: PositiveInt = 150
    """Superpixels of an image, about. (SLidR: 150, and 30 for VoxelNet.)"""
    compactness: PositiveFloat = 6.0
    """How much nearness counts against likeness of colour."""
    sigma: NonNegativeFloat = 3.0
    """Width in pixels of the Gaussian that smooths the image beforehand."""


def compute_superpixels(image_HW3: NDArray[np.uint8], options: SuperpixelOptions) -> NDArray[np.int64]:
    """Return the (H, W) superpixel of each pixel, numbered from 0, by SLIC (scikit-image's, in Lab colours)."""
    from skimage.segmentation import slic  # takes a second to import

    return slic(
        image_HW3,
        n_segments=options.segments,
        compactness=options.compactness,
        sigma=options.sigma,
        start_label=0,
        channel_axis=-1,
    )


@dataclass(frozen=True)
class SuperpixelFiles:
    """The superpixels of the images of one data set.

    Attributes:
        folder: where the files are, in the folders that the images have in the data set.
        root: the data set's folder.
        options: how the superpixels are made.
    """

    folder: Path
    root: Path
    options: SuperpixelOptions

    def path(self, camera: Camera) -> Path:
        """Return the file of one image."""
        return self.folder / camera.image_path.relative_to(self.root).with_suffix(".png")

    def read(self, camera: Camera) -> NDArray[np.uint16]:
        """Return the (H, W) superpixels of one image.

        Raises:
            DataError: the file is missing, damaged, or was made from another image or with other options.
        """
        return self._read(camera, self._origin(camera))

    def make(self, camera: Camera) -> bool:
        """Compute and write the superpixels of one image, unless they are there; return whether they were not.

        8 bits for each pixel where that is enough, 16 otherwise.

        Raises:
            DataError: the image is missing or damaged.
        """
        image = read_image(camera)
        # Here the image is read anyway, so its bytes are compared as well.
        origin = self._origin(camera) | {"sha256": hashlib.sha256(camera.image_path.read_bytes()).hexdigest()}
        try:
            self._read(camera, origin)
            return False
        except DataError:
            labels = compute_superpixels(image, self.options)
        text = PngInfo()
        text.add_text(_TEXT, json.dumps(origin))
        with atomic_path(self.path(camera)) as temporary:
            kind = np.uint8 if labels.max() < 2**8 else np.uint16
            Image.fromarray(labels.astype(kind)).save(temporary, pnginfo=text)
        return True

    def _read(self, camera: Camera, origin: dict[str, Any]) -> NDArray[np.uint16]:
        path, (height, width) = self.path(camera), camera.size
        expected = f"superpixels of {height} x {width} pixels made from {json.dumps(origin)}"
        fix = "run `cmcr segment-images`, as the workflow does"
        try:
            with opened(path) as image:
                if image.size != (width, height):
                    raise ValueError(f"{image.size[1]} x {image.size[0]} pixels")
                text, labels = image.info.get(_TEXT, "{}"), np.asarray(image)
            made = parse_json(text)
            found = {name: made.get(name) for name in origin}
        except (*DAMAGE, AttributeError) as error:
            raise DataError.at(path, expected=expected, found=reason_of(error), fix=fix) from None
        if found != origin or labels.shape != camera.size:
            raise DataError.at(path, expected=expected, found=f"{labels.shape}, made from {json.dumps(found)}", fix=fix)
        return labels.astype(np.uint16)

    def _origin(self, camera: Camera) -> dict[str, Any]:
        image = camera.image_path
        size = image.stat().st_size if image.is_file() else None
        return {"image": image.name, "image_bytes": size, **self.options.model_dump()}


def make_superpixels(index: ScanIndex, files: SuperpixelFiles, part: int = 0, parts: int = 1) -> int:
    """Write one of ``parts`` equal shares of the superpixels of an index's images; return the share's number of images.

    Raises:
        DataError: an image is missing or damaged.
    """
    images = [(scan, camera) for scan, record in enumerate(index.records) for camera in range(len(record.cameras))]
    chosen = np.array_split(np.array(images).reshape(-1, 2), parts)[part].tolist()
    new, read = 0, -1
    for position, camera in progress(chosen, len(chosen), "superpixels of image", logger):
        if position != read:
            cameras, read = index.read(position, with_labels=False).cameras, position
        new += files.make(cameras[camera])
    logger.info("%d images, %d of them new", len(chosen), new)
    return len(chosen)
