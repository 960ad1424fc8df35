"""Reading scans: right numbers from good files, one clear error from each kind of bad file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from invented_releases import P2, POINTS, TR, write_release

from cmcr.data.index import ScanIndex
from cmcr.data.releases import load_release, release_names
from cmcr.data.semantic_kitti_index import make_index
from cmcr.errors import DataError


@pytest.fixture
def scans(tmp_path: Path) -> ScanIndex:
    write_release(tmp_path, "semantic_kitti", "val", images=True)
    return make_index("kitti", tmp_path, "semantic_kitti", "val")


def test_a_scan_holds_what_its_files_hold(scans: ScanIndex) -> None:
    scan = scans.read(1)
    folder = scans.root / "sequences" / "08"
    np.testing.assert_array_equal(scan.points, np.fromfile(folder / "velodyne" / "000001.bin", "<f4").reshape(-1, 4))
    raw = np.fromfile(folder / "labels" / "000001.label", "<u4")
    table = {
        number: place for place, ids in enumerate(load_release("semantic_kitti").classes.values()) for number in ids
    }
    assert scan.labels.tolist() == [table[value & 0xFFFF] for value in raw.tolist()]
    expected = [(value & 0xFFFF) * 65536 + (value >> 16) if value >> 16 else 0 for value in raw.tolist()]
    assert scan.instances.tolist() == expected
    assert (scan.token, scan.scene, scan.dataset) == ("08_000001", "08", "kitti")
    assert (scan.points.dtype, scan.labels.dtype, scan.instances.dtype) == (np.float32, np.uint8, np.int32)


def test_the_camera_reproduces_the_projection(scans: ScanIndex) -> None:
    (camera,) = scans.read(0).cameras
    assert (camera.name, camera.size, camera.image_path.name) == ("image_2", (30, 100), "000000.png")
    projection = P2 @ np.vstack([TR, (0, 0, 0, 1)])
    np.testing.assert_allclose(camera.intrinsics @ camera.camera_from_lidar[:3], projection, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("version", release_names())
def test_every_relative_is_read(tmp_path: Path, version: str) -> None:
    split = "mini_val" if version.endswith("mini") else "val"
    release = write_release(tmp_path, version, split, scans=1)
    scan = make_index("other", tmp_path, version, split).read(0)
    assert scan.points.shape == (POINTS, 4)
    assert 0.5 < scan.points[:, 3].max() <= 1
    assert set(scan.labels) <= set(range(len(release.class_names)))
    assert (scan.instances is None) is (not release.things)
    assert scan.cameras == []


def test_scribbles_are_read_in_training_and_full_labels_in_validation(tmp_path: Path) -> None:
    write_release(tmp_path, "scribble_kitti", "train", scans=1)
    assert (
        make_index("s", tmp_path, "scribble_kitti", "train").records[0].labels == "sequences/00/scribbles/000000.label"
    )
    write_release(tmp_path, "scribble_kitti", "val", scans=1)
    assert make_index("s", tmp_path, "scribble_kitti", "val").records[0].labels == "sequences/08/labels/000000.label"


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def put(path: Path, dtype: str, position: int, value: float) -> None:
    values = np.fromfile(path, dtype=dtype)
    values[position] = value
    values.tofile(path)


#: What is done to which file of scan 0 (50 points), and what the message says besides the path.
BAD_FILES = {
    "sweep missing": ("velodyne/000000.bin", Path.unlink, "points", "No such file"),
    "sweep cut within a point": ("velodyne/000000.bin", lambda p: cut(p, 790), "800 bytes", "790 bytes"),
    "sweep cut between points": ("velodyne/000000.bin", lambda p: cut(p, 160), "800 bytes", "160 bytes"),
    "sweep empty": ("velodyne/000000.bin", lambda p: cut(p, 0), "800 bytes", "0 bytes"),
    "NaN": ("velodyne/000000.bin", lambda p: put(p, "<f4", 29, np.nan), "finite", "1 of 50 .* point 7"),
    "remission above 1": ("velodyne/000000.bin", lambda p: put(p, "<f4", 3, 255), r"in \[0, 1\]", "to 255"),
    "labels missing": ("labels/000000.label", Path.unlink, "50 labels", "No such file"),
    "labels cut": ("labels/000000.label", lambda p: cut(p, 196), "50 labels of 4 bytes", "49"),
    "labels cut within one": ("labels/000000.label", lambda p: cut(p, 199), "50 labels of 4 bytes", "49.75"),
    "labels too many": ("labels/000000.label", lambda p: p.write_bytes(bytes(204)), "50 labels", "51"),
    "unknown id": ("labels/000000.label", lambda p: put(p, "<u4", 5, 12 | 7 << 16), "annotates", "id 12 at point 5"),
    "highest id": ("labels/000000.label", lambda p: put(p, "<u4", 9, 0xFFFF), "annotates", "id 65535 at point 9"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_each_bad_file_gives_one_clear_error(scans: ScanIndex, case: str) -> None:
    name, damage, expected, found = BAD_FILES[case]
    path = scans.root / "sequences" / "08" / name
    damage(path)
    with pytest.raises(DataError) as caught:
        scans.read(0)
    first, *parts = str(caught.value).split("\n")
    assert first == str(path)
    assert [part.split(":")[0].strip() for part in parts] == ["expected", "found", "way out"]
    for part, pattern in zip(parts[:2], (expected, found), strict=True):
        assert re.search(pattern, part), part
    scans.read(1)  # the others are none the worse
    if name.startswith("labels"):
        assert scans.read(0, with_labels=False).labels is None


def test_arrays_of_a_relative_are_checked_too(tmp_path: Path) -> None:
    write_release(tmp_path, "synth4d_kitti", "val", scans=1)
    index = make_index("synth4d", tmp_path, "synth4d_kitti", "val")
    path = tmp_path / "kitti_synth" / "Town10HD" / "labels" / "000000.npy"
    for value in (23, -1, 70_000):
        labels = np.full(POINTS, 7, dtype=np.int64)
        labels[3] = value
        np.save(path, labels)
        with pytest.raises(DataError, match=f"id {value} at point 3"):
            make_index("synth4d", tmp_path, "synth4d_kitti", "val").read(0)
    np.save(path, np.array([{}] * POINTS))
    with pytest.raises(DataError, match="allow_pickle"):
        make_index("synth4d", tmp_path, "synth4d_kitti", "val").read(0)
    points = tmp_path / index.records[0].lidar
    np.save(points, np.zeros((POINTS, 3)))
    with pytest.raises(DataError, match="4 numbers"):
        make_index("synth4d", tmp_path, "synth4d_kitti", "val").read(0)
