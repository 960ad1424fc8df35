"""Superpixels: the official ones, kept as they are, and cropped, resized and mirrored with their image."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmcr.cli import main
from cmcr.data.augment import ImageCrop
from cmcr.data.batches import ScanDataset, collate
from cmcr.data.image_files import read_image
from cmcr.data.images import ImageOptions, load_paired_images
from cmcr.data.index import ScanIndex
from cmcr.data.superpixels import SuperpixelFiles, SuperpixelOptions, compute_superpixels, make_superpixels
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import DataError

#: Compact enough to make a dozen of what is noise.
FEW = SuperpixelOptions(segments=12, sigma=0, compactness=1000)


@pytest.fixture
def files(scans: ScanIndex, tmp_path: Path) -> SuperpixelFiles:
    """Superpixels of the first two of six scans."""
    made = SuperpixelFiles(tmp_path / "superpixels", scans.root, FEW)
    assert make_superpixels(scans, made, part=0, parts=3) == 4
    return made


def test_they_are_the_official_ones_on_the_real_image(shared: Path) -> None:
    (path,) = (shared / "real/nuscenes/samples/CAM_FRONT").iterdir()
    found = compute_superpixels(np.asarray(Image.open(path)), SuperpixelOptions())
    expected = np.asarray(Image.open(shared / "fixtures/superpixels/CAM_FRONT_slic150.png"))
    np.testing.assert_array_equal(found, expected)


def test_what_is_read_is_what_was_computed(scans: ScanIndex, files: SuperpixelFiles) -> None:
    for camera in scans.read(0).cameras:
        expected = compute_superpixels(read_image(camera), FEW)
        np.testing.assert_array_equal(files.read(camera), expected)
        assert expected.max() > 3
        assert Image.open(files.path(camera)).mode == "L"


def test_more_than_256_superpixels_take_16_bits(scans: ScanIndex, tmp_path: Path) -> None:
    many = SuperpixelFiles(tmp_path / "many", scans.root, SuperpixelOptions(segments=900, sigma=0, compactness=50))
    camera = scans.read(0).cameras[0]
    assert many.make(camera)
    assert Image.open(many.path(camera)).mode == "I;16"
    assert many.read(camera).max() > 255
    np.testing.assert_array_equal(many.read(camera), compute_superpixels(read_image(camera), many.options))


def test_those_that_are_there_stay_and_damaged_or_outdated_ones_are_made_again(
    scans: ScanIndex, files: SuperpixelFiles
) -> None:
    camera = scans.read(0).cameras[0]
    path = files.path(camera)
    whole = path.read_bytes()
    os.utime(path, (0, 0))
    make_superpixels(scans, files, part=0, parts=3)
    assert path.stat().st_mtime == 0
    path.write_bytes(whole[:-40])
    make_superpixels(scans, files, part=0, parts=12)
    assert path.read_bytes() == whole
    # Another image of the same size in bytes.
    data = bytearray(camera.image_path.read_bytes())
    data[-30] ^= 1
    camera.image_path.write_bytes(data)
    assert files.make(camera)
    other = SuperpixelFiles(files.folder, files.root, SuperpixelOptions(segments=20, sigma=0))
    assert other.make(camera)


def test_errors_name_the_file_and_the_way_out(scans: ScanIndex, files: SuperpixelFiles) -> None:
    missing, there = scans.read(2).cameras[0], scans.read(0).cameras[0]
    with pytest.raises(
        DataError, match=rf"{missing.image_path.stem}\.png\n.*\n  found: .*No such file.*\n.*segment-images"
    ):
        files.read(missing)
    other = SuperpixelFiles(files.folder, files.root, SuperpixelOptions(segments=13, sigma=0))
    with pytest.raises(DataError, match=r'"segments": 13.*\n  found: .*"segments": 12'):
        other.read(there)


def test_they_are_cropped_resized_and_mirrored_with_their_image(scans: ScanIndex, files: SuperpixelFiles) -> None:
    """The pixels at the pairs tell: both maps are enlarged so far that the pairs' pixels keep their own."""
    options = ImageOptions(size=(240, 400), crop=ImageCrop(enough_pairs=5, enough_share=0.3, flip=0.5))
    flips = set()
    for seed in range(6):
        scan = scans.read(0)
        images = load_paired_images(scan, options, np.random.default_rng(seed), superpixels=files)
        assert images.superpixels is not None
        assert images.superpixels.shape == (2, 240, 400)
        whole = load_paired_images(scan, ImageOptions(size=(48, 80)), np.random.default_rng(0), superpixels=files)
        at_home = {
            (point, image): whole.superpixels[image, round(row), round(column)]
            for point, image, row, column in zip(whole.point, whole.image, whole.row, whole.column, strict=True)
        }
        for point, image, row, column in zip(images.point, images.image, images.row, images.column, strict=True):
            assert images.superpixels[image, round(row), round(column)] == at_home[point, image]
        flips.add(tuple(images.superpixels[0, 0, [0, -1]] > images.superpixels[0, 0, [-1, 0]]))
    assert len(flips) > 1


def test_a_batch_holds_those_of_its_images(scans: ScanIndex, files: SuperpixelFiles) -> None:
    bank = np.zeros((6, 2, 3, 4, 5), dtype=np.float16)
    options = ImageOptions(size=(24, 40))
    dataset = ScanDataset(scans, [1, 0], VoxelGrid(), images=options, feature_bank=bank, superpixels=files)
    batch = collate([dataset[0], dataset[1]])
    assert batch.superpixels is not None
    assert batch.superpixels.shape == (4, 24, 40)
    camera = scans.read(0).cameras[1]
    expected = Image.fromarray(files.read(camera)).resize((40, 24), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(batch.superpixels[3], np.asarray(expected))
    plain = ScanDataset(scans, [1], VoxelGrid(), images=options, feature_bank=bank)
    assert collate([plain[0]]).superpixels is None


def test_the_command_writes_each_share_once(scans: ScanIndex, tmp_path: Path) -> None:
    scans.save(tmp_path / "index.jsonl")
    for part in range(5):
        arguments = ["--options", FEW.model_dump_json(), "--index", str(tmp_path / "index.jsonl"), "--part", str(part)]
        arguments += ["--parts", "5", "--folder", str(tmp_path / "made"), "--output", str(tmp_path / f"{part}.json")]
        assert main(["segment-images", *arguments]) == 0
    counts = [json.loads((tmp_path / f"{part}.json").read_text())["images"] for part in range(5)]
    assert counts == [3, 3, 2, 2, 2]
    assert len(list((tmp_path / "made").rglob("*.png"))) == 12
