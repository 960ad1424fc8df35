from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from invented_kitti import LABELS, write_frame, write_split

from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index
from cmcr.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for frame in ("000003", "000007"):
        write_frame(tmp_path, frame)
    write_split(tmp_path, "train", "000007", "000003")
    return tmp_path


def test_lists_the_frames_in_the_order_of_the_split(root: Path, tmp_path: Path) -> None:
    index = make_index("kitti", root, "training", "train")
    assert [record.token for record in index.records] == ["000007", "000003"]
    assert index.records[0].cameras[0].size == (120, 400)
    assert index.records[0].boxes == "training/label_2/000007.txt"
    index.save(tmp_path / "index")
    assert ScanIndex.load(tmp_path / "index").records == index.records


def test_the_checksum_covers_the_boxes(root: Path) -> None:
    index = make_index("kitti", root, "training", "train")
    record = dataclasses.replace(index.records[0], boxes_bytes=1)
    assert dataclasses.replace(index, records=(record, index.records[1]), checksum="").checksum != index.checksum


def test_testing_has_no_labels(root: Path) -> None:
    (root / "training").rename(root / "testing")
    for path in (root / "testing" / "label_2").iterdir():
        path.unlink()
    (root / "testing" / "label_2").rmdir()
    assert make_index("kitti", root, "testing", "train").records[0].boxes is None


def delete(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def write(path: str, text: str) -> Callable[[Path], None]:
    return lambda root: (root / path).write_text(text) and None


@pytest.mark.parametrize(
    ("damage", "named", "found"),
    [
        (delete("training/velodyne/000003.bin"), "train.txt, line 2", "no training/velodyne/000003.bin"),
        (delete("training/label_2/000003.txt"), "train.txt, line 2", "no training/label_2/000003.txt"),
        (delete("training/image_2/000007.png"), "train.txt, line 1", "no training/image_2/000007.png"),
        (write("training/velodyne/000003.bin", "x" * 17), "000003.bin", "17 bytes"),
        (write("training/velodyne/000003.bin", ""), "000003.bin", "0 bytes"),
        (write("training/image_2/000003.png", "no image"), "000003.png", "no JPEG or PNG, or a damaged header"),
        (write("training/calib/000003.txt", "P2: 1"), "000003.txt, line 1", "1"),
        (write("training/label_2/000003.txt", LABELS[0] + "\n" + LABELS[1] + " 9"), "000003.txt, line 2", "16 fields"),
        (write("ImageSets/train.txt", "000003\n3\n"), "train.txt, line 2", "'3'"),
        (write("ImageSets/train.txt", "000003\n000003\n"), "train.txt, line 2", "listed before"),
        (write("ImageSets/train.txt", "\n"), "train.txt", "none"),
    ],
)
def test_a_broken_folder_is_named(root: Path, damage: Callable[[Path], None], named: str, found: str) -> None:
    damage(root)
    with pytest.raises(DataError) as error:
        make_index("kitti", root, "training", "train")
    assert named in str(error.value)
    assert found in str(error.value)


def test_an_unknown_split_is_answered_with_the_known_ones(root: Path) -> None:
    with pytest.raises(ConfigError, match="train"):
        make_index("kitti", root, "training", "trainval")
