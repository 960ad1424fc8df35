"""Images at training resolution: their pairs follow them, whole, cropped or as features."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmcr.data import images
from cmcr.data.augment import ImageCrop, Window
from cmcr.data.image_files import read_image
from cmcr.data.images import ImageOptions, load_paired_images, read_resized
from cmcr.data.index import ScanIndex
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera
from cmcr.errors import ConfigError, DataError

CROP = ImageCrop(enough_pairs=5, enough_share=0.3)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_at_full_size_pairs_are_those_of_the_files(scans: ScanIndex):
    scan = scans.read(0)
    pairs = pair_points_with_pixels(scan.points, scan.cameras)
    images = load_paired_images(scan, ImageOptions(size=(48, 80)), rng())
    assert set(pairs.camera) == {0, 1}
    np.testing.assert_array_equal(images.point, pairs.point)
    np.testing.assert_array_equal(images.image, pairs.camera)
    np.testing.assert_array_equal([images.row, images.column], [pairs.row, pairs.column])
    for pixels, camera in zip(images.pixels, scan.cameras, strict=True):
        np.testing.assert_array_equal(pixels, read_image(camera))


def test_at_another_size_pixel_centres_keep_their_place(scans: ScanIndex):
    scan = scans.read(0)
    pairs = pair_points_with_pixels(scan.points, scan.cameras)
    images = load_paired_images(scan, ImageOptions(size=(96, 40)), rng())
    assert images.pixels.shape == (2, 96, 40, 3)
    # Centre of pixel r is r + 1/2 from the upper edge; the image is twice as tall and half as wide.
    np.testing.assert_allclose(images.row, 2 * pairs.row + 0.5)
    np.testing.assert_allclose(images.column, np.clip((pairs.column - 0.5) / 2, 0, None))
    np.testing.assert_array_equal(images.pixels[1], read_resized(scan.cameras[1], (96, 40)))


def test_crops_keep_point_and_pixel_together(scans: ScanIndex):
    """In images that encode their own coordinates, a pair's pixel still tells where the point was seen."""
    from PIL import Image

    row, column = np.mgrid[:48, :80]
    for camera in scans.read(0).cameras:
        encoded = np.stack([5 * row, 3 * column, 0 * row], axis=2).astype(np.uint8)
        Image.fromarray(encoded).save(camera.image_path.with_suffix(".png"))
    scan = scans.read(0)
    cameras = [dataclasses.replace(c, image_path=c.image_path.with_suffix(".png")) for c in scan.cameras]
    scan = dataclasses.replace(scan, cameras=cameras)
    pairs = pair_points_with_pixels(scan.points, cameras)
    seen_at = dict(
        zip(zip(pairs.point, pairs.camera, strict=True), zip(pairs.row, pairs.column, strict=True), strict=True)
    )
    compared = 0
    for seed in range(10):
        images = load_paired_images(scan, ImageOptions(size=(96, 160), crop=CROP), rng(seed))
        assert images.pixels.shape == (2, 96, 160, 3)
        for point, image, new_row, new_column in zip(
            images.point, images.image, images.row, images.column, strict=True
        ):
            if 4 < new_row < 91 and 4 < new_column < 155:  # where no filter reaches over the edge
                shown = images.pixels[image, round(float(new_row)), round(float(new_column))]
                old_row, old_column = seen_at[point, image]
                assert abs(shown[0] / 5 - old_row) < 0.7  # rounding to a pixel of at most the old one's size
                assert abs(shown[1] / 3 - old_column) < 0.9
                compared += 1
    assert compared > 200


def test_crops_of_the_images_differ_and_follow_the_generator(scans: ScanIndex):
    scan, options = scans.read(0), ImageOptions(size=(48, 80), crop=CROP)
    first, again, other = (load_paired_images(scan, options, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.column, again.column)
    assert not np.array_equal(first.pixels, other.pixels)
    whole = load_paired_images(scan, ImageOptions(size=(48, 80)), rng())
    assert 0 < len(first.point) < len(whole.point)


def test_with_features_no_image_is_opened(scans: ScanIndex):
    scan = scans.read(0)
    for camera in scan.cameras:
        camera.image_path.unlink()
    features = np.zeros((2, 8, 3, 5), dtype=np.float16)
    images = load_paired_images(scan, ImageOptions(size=(24, 40)), rng(), features)
    assert images.features is features
    assert images.pixels is None
    assert images.count == 2
    assert images.row.max() <= 23
    with pytest.raises(DataError, match="CAM_FRONT_0"):
        load_paired_images(scan, ImageOptions(size=(24, 40)), rng())


def test_pixels_come_beside_features_if_asked_for(scans: ScanIndex):
    scan, features = scans.read(0), np.zeros((2, 8, 3, 5), dtype=np.float16)
    alone = load_paired_images(scan, ImageOptions(size=(24, 40)), rng())
    both = load_paired_images(scan, ImageOptions(size=(24, 40)), rng(), features, with_pixels=True)
    assert both.features is features
    np.testing.assert_array_equal(both.pixels, alone.pixels)
    np.testing.assert_array_equal([both.row, both.column], [alone.row, alone.column])


def test_features_of_whole_images_cannot_be_cropped(scans: ScanIndex):
    features = np.zeros((2, 8, 3, 5), dtype=np.float16)
    with pytest.raises(ConfigError, match=r"images\.crop"):
        load_paired_images(scans.read(0), ImageOptions(size=(24, 40), crop=CROP), rng(), features)


def test_a_scan_without_images_is_refused(scans: ScanIndex):
    with pytest.raises(DataError, match="scan0 of toy has no images"):
        load_paired_images(dataclasses.replace(scans.read(0), cameras=()), ImageOptions(), rng())


@pytest.mark.parametrize(
    ("window", "size", "decoded"),
    [
        (Window(40, 60, 300, 400), (75, 100), (120, 200)),
        (Window(40, 60, 300, 400, flipped=True), (75, 100), (120, 200)),
        (Window(0, 0, 480, 800), (60, 100), (60, 100)),
        (Window(40, 60, 300, 400), (151, 200), (480, 800)),
    ],
)
def test_a_photograph_is_decoded_at_no_more_pixels_than_its_view_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: Window, size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    """The view is that of the whole photograph, to a grey value or two, wherever its window lies."""
    row, column = np.mgrid[:480, :800]
    waves = [128 + 100 * np.sin(row / 23), 128 + 100 * np.sin(column / 31), 128 + 100 * np.sin((row + column) / 41)]
    photograph = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
    photograph.save(tmp_path / "photograph.jpg", quality=98)
    camera = Camera("front", tmp_path / "photograph.jpg", (480, 800), np.eye(3), np.eye(4))
    sizes = []
    view = Window.view

    def watched(self: Window, image: Image.Image, *arguments: Any, **options: Any) -> Any:
        sizes.append(image.size[::-1])
        return view(self, image, *arguments, **options)

    monkeypatch.setattr(Window, "view", watched)
    found = images._view(window, camera, size)
    assert sizes == [decoded]
    difference = found.astype(int) - view(window, photograph, size).astype(int)
    assert np.abs(difference).max() <= 4
    assert np.abs(difference.mean()) < 0.3
