"""Image files are decoded, or refused with one clear error."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from limits import in_memory
from PIL import Image

from cmcr.data import image_files
from cmcr.data.image_files import read_image
from cmcr.data.scan import Camera
from cmcr.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    Image.fromarray(PIXELS).save(tmp_path / "front.png")
    Image.fromarray(PIXELS).save(tmp_path / "front.jpg")
    return Camera("CAM_FRONT", tmp_path / "front.png", (40, 60), np.eye(3), np.eye(4))


def test_an_image_is_decoded_as_it_is(camera: Camera):
    np.testing.assert_array_equal(read_image(camera), PIXELS)


def test_a_grey_image_has_three_equal_channels(camera: Camera):
    Image.fromarray(PIXELS[:, :, 0]).save(camera.image_path)
    np.testing.assert_array_equal(read_image(camera), np.repeat(PIXELS[:, :, :1], 3, axis=2))


def overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("damage", "expected", "found"),
    [
        (Path.unlink, "60 x 40", "No such file"),
        (lambda p: overwrite(p, p.read_bytes()[: p.stat().st_size // 2]), "readable image", "."),
        (lambda p: overwrite(p, p.read_bytes()[:30]), "readable image", "."),
        (lambda p: overwrite(p, b""), "readable image", "no JPEG or PNG, or a damaged header"),
        (lambda p: overwrite(p, b"<html>404</html>"), "readable image", "no JPEG or PNG, or a damaged header"),
        (lambda p: Image.fromarray(PIXELS[:, :50]).save(p), "60 x 40", "50 x 40"),
    ],
    ids=["missing", "cut in the middle", "cut in the header", "empty", "a web page", "another size"],
)
def test_a_bad_image_gives_one_clear_error(camera: Camera, suffix, damage, expected, found):
    path = camera.image_path.with_suffix(suffix)
    damage(path)
    with pytest.raises(
        DataError, match=rf"front\{suffix}\n  expected: .*{expected}.*\n  found: .*{found}.*\n  way out"
    ):
        read_image(dataclasses.replace(camera, image_path=path))


def test_an_image_that_would_fill_the_memory_is_not_decoded(camera: Camera, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_PIXELS", 2399)
    with warnings.catch_warnings(), pytest.raises(DataError, match="at most 2399"):
        read_image(camera)


def test_a_piece_of_an_image_takes_no_more_memory_than_there_are_bytes(camera: Camera):
    content = bytearray(camera.image_path.read_bytes())
    length = content.index(b"IDAT") - 4
    content[length : length + 4] = (2**31 - 1).to_bytes(4, "big")  # bytes that the pixels are said to take
    camera.image_path.write_bytes(content)
    with in_memory(2**27):
        np.testing.assert_array_equal(read_image(camera), PIXELS)  # which end where their own stream does
