from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmcr.data import image_cache
from cmcr.data.image_cache import ImageCache
from cmcr.data.image_files import decode_image
from cmcr.data.scan import Camera


@pytest.fixture
def cameras(tmp_path: Path) -> list[Camera]:
    """Three JPEGs of 64 x 96 pixels, 18,432 bytes each when decoded."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(3):
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(path)
        made.append(Camera(f"camera {number}", path, (64, 96), np.eye(3), np.eye(4)))
    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded, in order."""
    found: list[str] = []

    def noting(camera: Camera, least: tuple[int, int]) -> Image.Image:
        found.append(camera.image_path.stem)
        return decode_image(camera, least)

    monkeypatch.setattr(image_cache, "decode_image", noting)
    return found


@pytest.mark.parametrize("least", [(64, 96), (33, 40), (32, 48), (20, 48), (16, 24), (9, 10), (8, 12), (1, 1)])
def test_what_is_kept_is_what_would_be_decoded(cameras: list[Camera], least: tuple[int, int]) -> None:
    cache = ImageCache(limit_mb=10)
    for asked in [(64, 96), (32, 48), (16, 24), (8, 12), least]:  # every size is in memory when ``least`` is asked for
        image = cache.decode(cameras[0], asked)
    assert np.array_equal(image, decode_image(cameras[0], least))
    assert cache.held_bytes == sum(3 * 64 * 96 // by**2 for by in (1, 2, 4, 8))


def test_an_image_is_decoded_once(cameras: list[Camera], decoded: list[str]) -> None:
    cache = ImageCache(limit_mb=1)
    for camera in cameras * 3:
        cache.decode(camera, camera.size)
    assert decoded == ["0", "1", "2"]


def test_the_longest_unused_goes_first(cameras: list[Camera], decoded: list[str]) -> None:
    cache = ImageCache(limit_mb=2 * 18432 / 1e6)
    for number in (0, 1, 0, 2, 0, 1):
        cache.decode(cameras[number], (64, 96))
        assert cache.held_bytes <= cache.limit_bytes
    assert decoded == ["0", "1", "2", "1"]


def test_an_image_larger_than_the_limit_is_not_kept(cameras: list[Camera], decoded: list[str]) -> None:
    cache = ImageCache(limit_mb=0.001)
    for _ in range(2):
        assert cache.decode(cameras[0], (64, 96)).size == (96, 64)
    assert (decoded, cache.held_bytes) == (["0", "0"], 0)
