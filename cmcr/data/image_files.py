"""Image files, decoded or refused: the same for every data set. And photographs of the toy city, written."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cmcr.data.scan import Camera
from cmcr.errors import DataError
from cmcr.files import write_bytes
from cmcr.reading import check_regular, reason_of

#: What data sets come in. Pillow knows dozens of formats more, whatever a file is called, and some of them start other
#: programs (EPS) or unpack without a limit.
FORMATS = ("JPEG", "PNG")

#: Largest image that is decoded; nuScenes' have 1.4 million pixels. (Pillow has a limit of its own, but importing
#: nuscenes-devkit lifts it for the whole process.)
MAX_PIXELS = 2**26

#: What Pillow reports damage by, depending on what its decoder happens to meet.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, zlib.error, Image.DecompressionBombError)

_FRESH = "fetch the file again, or make the index again if the data set was changed on purpose"


class _File(io.BufferedReader):
    """Takes no more memory than there are bytes; Pillow asks for as many as a piece of a PNG claims to have."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._most = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        """Read at most ``size`` bytes, and all that follow where there is none."""
        return super().read(size if size is None else min(size, self._most))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file of one of `FORMATS`; its pixels are not decoded yet.

    Raises:
        one of `DAMAGE`: it is missing, damaged, or something else.
    """
    check_regular(path)
    with _File(path) as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError(f"no {' or '.join(FORMATS)}, or a damaged header") from None
        with image:
            yield image


def image_size(path: Path, expected: str, way_out: str) -> tuple[int, int]:
    """Return height and width in pixels of an image file, as it says itself.

    Raises:
        DataError: it is missing or damaged, or would be too large to be decoded.
    """
    try:
        with opened(path) as image:
            width, height = image.size
    except DAMAGE as error:
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=way_out) from None
    if width * height > MAX_PIXELS:
        raise DataError.at(
            path, expected=f"{expected}, of at most {MAX_PIXELS} pixels", found=f"{width} x {height}", fix=way_out
        )
    return height, width


def read_image(camera: Camera) -> NDArray[np.uint8]:
    """Decode the image of ``camera`` to (H, W, 3) uint8 RGB.

    Raises:
        DataError: see `decode_image`.
    """
    return np.asarray(decode_image(camera, camera.size))


def decode_image(camera: Camera, least: tuple[int, int]) -> Image.Image:
    """Decode the image of ``camera`` to RGB, a JPEG at 1/2, 1/4 or 1/8 of its size if that is enough.

    Args:
        camera: whose image.
        least: height and width in pixels that the whole image must still have. A JPEG's blocks can be decoded to fewer
            pixels at once, each the mean of those it stands for, which takes a fraction of the time.

    Raises:
        DataError: the file is missing, cut short, no image, too large to be decoded, or not of ``camera.size``.
    """
    height, width = camera.size
    try:
        with opened(camera.image_path) as image:
            if image.size != (width, height) or width * height > MAX_PIXELS:
                raise DataError.at(
                    camera.image_path,
                    expected=f"an image of {width} x {height} pixels, at most {MAX_PIXELS} in all",
                    found=f"{image.size[0]} x {image.size[1]} pixels",
                    fix=_FRESH,
                )
            image.draft("RGB", least[::-1])
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
    except DAMAGE as error:
        expected = f"a readable image of {width} x {height} pixels"
        raise DataError.at(camera.image_path, expected=expected, found=reason_of(error), fix=_FRESH) from None


def write_jpeg(path: Path, pixels: NDArray[np.uint8], quality: int) -> None:
    """Write (H, W, 3) uint8 RGB as a JPEG, atomically, its colours at the full resolution.

    Raises:
        OutputError: it cannot be written.
    """
    # By way of memory: a JPEG that Pillow writes to a file itself ends without an error where the disk is full.
    with io.BytesIO() as buffer:
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling=0)
        write_bytes(path, buffer.getvalue())
