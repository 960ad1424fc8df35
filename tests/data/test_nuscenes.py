"""Reading scans: right numbers from good files, one clear error from each kind of bad file."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_names import CATEGORIES, CLASS_NAMES, CLASS_OF_CATEGORY
from cmcr.data.scan import VOID
from cmcr.errors import DataError


def test_a_scan_holds_what_its_files_hold(scans: ScanIndex):
    scan = scans.read(1)
    sweep = np.fromfile(scans.root / "1.bin", dtype="<f4").reshape(-1, 5)
    np.testing.assert_array_equal(scan.points[:, :3], sweep[:, :3])
    np.testing.assert_allclose(scan.points[:, 3], sweep[:, 3] / 255)
    assert scan.points.max(axis=0)[3] <= 1
    categories = np.fromfile(scans.root / "1_lidarseg.bin", dtype=np.uint8)
    assert [CLASS_NAMES[label] for label in scan.labels] == [CATEGORIES[category][1] for category in categories]
    panoptic = np.load(scans.root / "1_panoptic.npz")["data"].astype(int)
    assert scan.instances.tolist() == [value if value % 1000 else 0 for value in panoptic]
    assert (scan.token, scan.dataset, scan.scene) == ("scan1", "toy", "scene0")
    assert scan.points.dtype == np.float32
    assert scan.labels.dtype == np.uint8
    assert scan.instances.dtype == np.int32


def test_cameras_know_how_they_saw_the_scan(scans: ScanIndex):
    front, back = scans.read(0).cameras
    assert (front.name, back.name, front.size) == ("CAM_FRONT", "CAM_BACK", (48, 80))
    # 10 m ahead of the sensor: 9.5 m before the front camera, which looks along y from 0.5 m ahead and 0.3 m below.
    np.testing.assert_allclose(front.camera_from_lidar @ [0, 10, 0, 1], [0, -0.3, 9.5, 1])
    np.testing.assert_allclose(back.camera_from_lidar @ [0, 10, 0, 1], [0, -0.3, -9.5, 1])


def test_classes_equal_the_devkits():
    """The official map from the 32 annotated categories to the 16 classes of the lidarseg challenge."""
    from nuscenes.eval.lidarseg.utils import LidarsegClassMapper

    names = [name for name, _ in CATEGORIES]
    tables = SimpleNamespace(
        lidarseg_idx2name_mapping=dict(enumerate(names)),
        lidarseg_name2idx_mapping={name: number for number, name in enumerate(names)},
    )
    mapper = LidarsegClassMapper(tables)
    assert mapper.fine_idx_2_coarse_idx_mapping == dict(enumerate(CLASS_OF_CATEGORY.tolist()))
    assert mapper.coarse_name_2_coarse_idx_mapping == {name: number for number, name in enumerate(CLASS_NAMES)}


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def put(path: Path, dtype: str, position: int, value: float) -> None:
    values = np.fromfile(path, dtype=dtype)
    values[position] = value
    values.tofile(path)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def set_panoptic(path: Path, change) -> None:
    np.savez_compressed(path, data=change(np.load(path)["data"]))


#: What is done to which file of scan 0 (300 points), and what the message says besides the path.
BAD_FILES = {
    "sweep missing": ("0.bin", Path.unlink, "a sweep of 6000 bytes", "No such file"),
    "sweep is a folder": ("0.bin", lambda p: (p.unlink(), p.mkdir()), "a sweep of 6000 bytes", "directory"),
    "sweep cut within a point": ("0.bin", lambda p: cut(p, 5990), "20 for each point", "5990 bytes"),
    "sweep cut between points": ("0.bin", lambda p: cut(p, 2000), "6000 bytes", "2000 bytes"),
    "sweep empty": ("0.bin", lambda p: cut(p, 0), "6000 bytes", "0 bytes"),
    "NaN coordinate": ("0.bin", lambda p: put(p, "<f4", 5 * 7 + 1, np.nan), "finite", "1 of 300 .* point 7"),
    "infinite coordinate": ("0.bin", lambda p: put(p, "<f4", 5 * 9, np.inf), "finite", "1 of 300 .* point 9"),
    "NaN intensity": ("0.bin", lambda p: put(p, "<f4", 3, np.nan), "finite", "point 0"),
    "intensity above 255": ("0.bin", lambda p: put(p, "<f4", 3, 4096), r"intensities in \[0, 255\]", "to 4096"),
    "labels missing": ("0_lidarseg.bin", Path.unlink, "300 labels", "No such file"),
    "labels cut": ("0_lidarseg.bin", lambda p: cut(p, 299), "300 labels, one for each point", "299"),
    "labels too many": ("0_lidarseg.bin", lambda p: p.write_bytes(bytes(301)), "300 labels", "301"),
    "labels empty": ("0_lidarseg.bin", lambda p: cut(p, 0), "300 labels", "0"),
    "unknown category": ("0_lidarseg.bin", lambda p: put(p, "u1", 5, 32), "ids from 0 to 31", "unknown ids 32"),
    "panoptic missing": ("0_panoptic.npz", Path.unlink, "npz archive", "No such file"),
    "panoptic cut": ("0_panoptic.npz", lambda p: cut(p, 200), "npz archive", ""),
    "panoptic damaged": ("0_panoptic.npz", lambda p: flip(p, 150), "npz archive", ""),
    "panoptic empty": ("0_panoptic.npz", lambda p: cut(p, 0), "npz archive", ""),
    "panoptic is text": ("0_panoptic.npz", lambda p: p.write_text("hello"), "npz archive", ""),
    "panoptic without data": ("0_panoptic.npz", lambda p: np.savez(p, other=np.zeros(300)), "array 'data'", "data"),
    "panoptic of objects": (
        "0_panoptic.npz", lambda p: np.savez(p, data=np.array([{}], dtype=object)), "array 'data'", "allow_pickle"),
    "panoptic too short": ("0_panoptic.npz", lambda p: set_panoptic(p, lambda d: d[:-1]), "300 labels", "299"),
    "panoptic of another shape": (
        "0_panoptic.npz", lambda p: set_panoptic(p, lambda d: d[:, None]), "300 labels", "300 x 1"),
    "panoptic unknown category": (
        "0_panoptic.npz", lambda p: set_panoptic(p, lambda d: np.where(np.arange(300) == 4, 40_001, d)),
        "ids from 0 to 31", "unknown ids 40"),
    "instance without a category": (
        "0_panoptic.npz", lambda p: set_panoptic(p, lambda d: np.where(np.arange(300) == 7, 3, d)),
        "instances with a category", "instance 3 without one, at 1 points, 7 the first"),
    "panoptic against lidarseg": (
        "0_panoptic.npz",
        lambda p: set_panoptic(p, lambda d: np.where(np.arange(300) == 5, d // 1000 % 31 * 1000 + 1000, d)),
        "classes of lidarseg", r"others at 1 of 300 points: category \d+ at point 5, where lidarseg has"),
    "panoptic of text": (
        "0_panoptic.npz", lambda p: set_panoptic(p, lambda d: np.full(len(d), "car")), "array 'data'", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_each_bad_file_gives_one_clear_error(scans: ScanIndex, case):
    name, damage, expected, found = BAD_FILES[case]
    damage(scans.root / name)
    with pytest.raises(DataError) as caught:
        scans.read(0)
    path, *parts = str(caught.value).split("\n")
    assert path == str(scans.root / name)
    assert [part.split(":")[0].strip() for part in parts] == ["expected", "found", "way out"]
    for part, pattern in zip(parts, (expected, found), strict=False):
        assert part.split(":", 1)[1].strip()
        assert re.search(pattern, part), part
    scans.read(1)  # the others are none the worse


def test_points_that_only_the_panoptic_labels_leave_out_are_void(scans: ScanIndex):
    """The panoptic labels have 0 for points in the boxes of two objects; lidarseg knows their category."""
    before = scans.read(0)
    in_two_boxes = np.arange(300) % 7 == 0
    set_panoptic(scans.root / "0_panoptic.npz", lambda d: np.where(in_two_boxes, 0, d))
    scan = scans.read(0)
    categories = np.fromfile(scans.root / "0_lidarseg.bin", dtype=np.uint8)
    void = in_two_boxes & (categories != 0)
    assert void.sum() > 20
    np.testing.assert_array_equal(scan.labels, before.labels)  # segmentation learns them all the same
    assert (scan.instances[void] == VOID).all()
    np.testing.assert_array_equal(scan.instances[~void], np.where(in_two_boxes, 0, before.instances)[~void])


def test_categories_of_one_class_do_not_contradict_each_other(scans: ScanIndex):
    """Lidarseg may call a bus rigid and its box bendy."""
    np.full(300, 16, dtype=np.uint8).tofile(scans.root / "0_lidarseg.bin")
    set_panoptic(scans.root / "0_panoptic.npz", lambda d: np.full_like(d, 15_001))
    scan = scans.read(0)
    assert set(scan.instances) == {15_001}
    assert {CLASS_NAMES[label] for label in scan.labels} == {"bus"}


def test_panoptic_labels_alone_are_read_as_they_are(scans: ScanIndex):
    record = dataclasses.replace(scans.records[0], labels=None, labels_bytes=None)
    scan = dataclasses.replace(scans, records=(record,), checksum="").read(0)
    assert scan.labels is None
    np.testing.assert_array_equal(scan.instances, scans.read(0).instances)


def test_a_scan_without_labels_is_read_without(scans: ScanIndex):
    record = dataclasses.replace(scans.records[0], labels=None, labels_bytes=None, panoptic=None, panoptic_bytes=None)
    scan = dataclasses.replace(scans, records=(record,), checksum="").read(0)
    assert scan.labels is None
    assert scan.instances is None
