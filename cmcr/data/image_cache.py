"""Decoded images kept in memory: for few keyframes that are seen often, or much memory."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from PIL import Image

from cmcr.data.image_files import decode_image
from cmcr.data.scan import Camera

#: Into how many pixels' side a JPEG's decoder can make one.
_REDUCTIONS = (8, 4, 2, 1)


class ImageCache:
    """Decodes images, and keeps those asked for last as far as a limit of memory allows."""

    def __init__(self, limit_mb: float):
        self.limit_bytes = limit_mb * 1e6
        self.held_bytes = 0
        self._kept: OrderedDict[tuple[Path, int], Image.Image] = OrderedDict()

    def decode(self, camera: Camera, least: tuple[int, int]) -> Image.Image:
        """Return what `decode_image` returns, from memory where it was asked for lately; it must not be changed."""
        key = camera.image_path, _reduction(camera.size, least)
        image = self._kept.pop(key, None)
        if image is None:
            image = decode_image(camera, least)
            self.held_bytes += _bytes(image)
        self._kept[key] = image
        while self.held_bytes > self.limit_bytes:
            self.held_bytes -= _bytes(self._kept.popitem(last=False)[1])
        return image


def _reduction(size: tuple[int, int], least: tuple[int, int]) -> int:
    """Return by which a JPEG of ``size`` is reduced where ``least`` pixels are enough; both are height and width."""
    spare = min(whole // enough for whole, enough in zip(size, least, strict=True))
    return next((by for by in _REDUCTIONS if by <= spare), 1)


def _bytes(image: Image.Image) -> int:
    return image.width * image.height * len(image.getbands())
