"""From a folder tree to an index: the right scans in the right order, and one clear error from each broken tree."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from invented_releases import POINTS, write_release

from cmcr.data.index import ScanIndex
from cmcr.data.semantic_kitti_index import make_index, splits_here
from cmcr.errors import ConfigError, DataError


def index_of(root: Path, version: str = "semantic_kitti", split: str = "train") -> ScanIndex:
    return make_index("kitti", root, version, split)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All training sequences of SemanticKITTI, two scans each, with images."""
    root = tmp_path_factory.mktemp("kitti")
    write_release(root, "semantic_kitti", "train", images=True)
    return root


@pytest.fixture
def tree(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "kitti")
    return tmp_path / "kitti"


def test_every_scan_of_the_split_is_listed_in_order(written: Path) -> None:
    index = index_of(written)
    assert [record.scene for record in index.records[::2]] == [
        "00",
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "07",
        "09",
        "10",
    ]
    first, second = index.records[:2]
    assert (first.token, second.token, second.timestamp_us) == ("00_000000", "00_000001", 100_000)
    assert second.lidar == "sequences/00/velodyne/000001.bin"
    assert (second.lidar_bytes, second.labels_bytes) == (16 * POINTS, 4 * POINTS)
    assert second.world_from_lidar[1].split()[11] == "1.0"
    assert index.thing_classes == tuple(range(1, 9))
    assert len({record.token for record in index.records}) == len(index)


def test_the_index_is_the_same_wherever_the_folder_lies(written: Path, tree: Path, tmp_path: Path) -> None:
    assert index_of(tree).checksum == index_of(written).checksum
    index_of(tree).save(tmp_path / "index.jsonl")
    loaded = ScanIndex.load(tmp_path / "index.jsonl")
    assert loaded.records == index_of(tree).records
    np.testing.assert_array_equal(loaded.read(3).labels, index_of(written).read(3).labels)


def test_without_labels_images_and_texts_scans_are_read_without(tmp_path: Path) -> None:
    write_release(tmp_path, "semantic_kitti", "test", labels=False)
    for name in ("calib.txt", "poses.txt", "times.txt"):
        for path in tmp_path.rglob(name):
            path.unlink()
    index = index_of(tmp_path, split="test")
    scan = index.read(1)
    assert (scan.labels, scan.instances, list(scan.cameras)) == (None, None, [])
    assert index.records[1].timestamp_us == 100_000  # KITTI's ten scans a second
    assert splits_here(tmp_path, "semantic_kitti") == ["test"]


def test_a_list_names_the_scans_of_a_split(tmp_path: Path) -> None:
    write_release(tmp_path, "rellis_3d", "train")
    index = index_of(tmp_path, "rellis_3d")
    assert [record.token for record in index.records] == [
        "00000_000000",
        "00000_000001",
        "00003_000000",
        "00003_000001",
    ]
    (tmp_path / "pt_train.lst").write_text("00000/os1_cloud_node_kitti_bin/000001.bin\n")
    assert len(index_of(tmp_path, "rellis_3d")) == 1
    twice = "00000/os1_cloud_node_kitti_bin/000001.bin\n" * 2
    bads = {"../x.bin": "out of it", "00000/other/1.bin": "00000/other/1.bin", "": "none", twice: "000001.bin again"}
    for bad, found in bads.items():
        (tmp_path / "pt_train.lst").write_text(bad)
        with pytest.raises(DataError, match=found):
            index_of(tmp_path, "rellis_3d")
    with pytest.raises(DataError, match=r"pt_val\.lst"):
        index_of(tmp_path, "rellis_3d", "val")


def test_only_the_mini_version_may_lack_sequences(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(tree / "sequences" / "05")
    with pytest.raises(DataError, match="none of 1 of them: 05"):
        index_of(tree)
    assert len(index_of(tree, "semantic_kitti_mini", "mini_train")) == 18
    assert "9 of the 10 scenes of mini_train" in caplog.text


def test_intensities_that_division_would_erase_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path, "semantic_poss", "val")
    path = tmp_path / "sequences" / "03" / "velodyne" / "000000.bin"
    points = np.fromfile(path, "<f4").reshape(-1, 4)
    points[:, 3] /= 255
    points.tofile(path)
    with pytest.raises(DataError, match="intensity_max: 1"):
        index_of(tmp_path, "semantic_poss", "val")


def sequence(name: str, change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(root / "sequences" / "04" / name)


BROKEN = {
    "truncated sweep": (
        sequence("velodyne/000001.bin", lambda p: p.write_bytes(p.read_bytes()[:-3])),
        "04/velodyne/000001.bin", "16 bytes each", "797 bytes"),
    "empty sweep": (
        sequence("velodyne/000001.bin", lambda p: p.write_bytes(b"")), "000001.bin", "16 bytes each", "0 bytes"),
    "labels of another length": (
        sequence("labels/000000.label", lambda p: p.write_bytes(bytes(196))),
        "000000.label", "200 bytes, 4 for each of 50", "196 bytes"),
    "labels missing": (
        sequence("labels/000000.label", Path.unlink), "000000.label", "4 for each of 50 points", "no such file"),
    "a sequence without labels": (
        sequence("labels", shutil.rmtree), "04/labels", "as other scenes of train", "no such folder"),
    "points of labels lost": (
        sequence("velodyne/000001.bin", Path.unlink), "", "", ""),
    "a gap": (sequence("velodyne/000000.bin", Path.unlink), "000000.bin", "without a gap", "but 000001.bin"),
    "no calibration": (sequence("calib.txt", Path.unlink), "calib.txt", "the calibration", "No such file"),
    "too few poses": (
        sequence("poses.txt", lambda p: p.write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")), "poses.txt", "2 lines", "1"),
    "too many times": (sequence("times.txt", lambda p: p.write_text("0\n1\n2\n")), "times.txt", "2 lines", "3"),
    "image missing": (
        sequence("image_2/000001.png", Path.unlink), "000001.png", "an image, as other scans", "No such file"),
    "images of a sequence missing": (
        sequence("image_2", shutil.rmtree), "image_2/000000.png", "an image, as other scans", "No such file"),
    "image no image": (
        sequence("image_2/000001.png", lambda p: p.write_text("hello")), "000001.png", "an image", "no JPEG or PNG"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_each_broken_tree_gives_one_clear_error(tree: Path, case: str) -> None:
    damage, file, expected, found = BROKEN[case]
    damage(tree)
    with pytest.raises(DataError) as caught:
        index_of(tree)
    lines = str(caught.value).split("\n")
    assert file in lines[0]
    assert re.search(f"expected: .*{expected}", lines[1])
    assert re.search(f"found: .*{found}", lines[2])


def test_told_of_problems_the_index_is_made_in_spite_of_them(tree: Path) -> None:
    # Not those that leave too little of a sequence for the others to damage.
    for case in ("truncated sweep", "labels of another length", "too few poses", "image missing", "no calibration"):
        BROKEN[case][0](tree)
    BROKEN["a sequence without labels"][0](tree)
    shutil.rmtree(tree / "sequences" / "09")
    problems: list[DataError] = []
    index = make_index("kitti", tree, "semantic_kitti", "train", problems.append)
    assert len(index) == 18  # all but sequence 09
    files = {str(problem).split("\n")[0].removeprefix(f"{tree}/sequences/") for problem in problems}
    # Without its calibration, nothing is looked for in a sequence's images.
    assert files == {
        "09/velodyne", "04/labels", "04/calib.txt", "04/velodyne/000001.bin", "04/labels/000000.label",
    }  # fmt: skip


def test_what_there_is_not_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of train, val, test"):
        index_of(tree, split="validation")
    with pytest.raises(DataError, match="no such folder"):
        index_of(tmp_path / "nowhere")
    with pytest.raises(DataError, match="none of 1 of them: 08"):
        index_of(tree, split="val")
