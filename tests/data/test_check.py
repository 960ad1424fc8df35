"""Walking a data set: right counts of a good one, every damage of a bad one, whatever number of processes reads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from invented_releases import POINTS, write_release

from cmcr.cli import main
from cmcr.data.check import as_text, check_split, splits_here
from cmcr.data.releases import load_release


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_release(tmp_path / "kitti", "semantic_kitti", "train", scans=3, images=True)
    write_release(tmp_path / "kitti", "semantic_kitti", "val", scans=2, images=True)
    write_release(tmp_path / "kitti", "semantic_kitti", "test", scans=1, labels=False)
    return tmp_path / "kitti"


def test_a_good_data_set_is_counted(tree: Path) -> None:
    report = check_split("kitti", "semantic_kitti", tree, "semantic_kitti", "val")
    assert (report.scans, report.labelled, report.images, report.points) == (2, 2, 2, 2 * POINTS)
    assert report.problems == {}
    raw = np.concatenate([np.fromfile(path, "<u4") for path in sorted((tree / "sequences" / "08").rglob("*.label"))])
    classes = load_release("semantic_kitti").table[raw & 0xFFFF]
    np.testing.assert_array_equal(report.points_of_class, np.bincount(classes, minlength=20))
    blind = check_split("kitti", "semantic_kitti", tree, "semantic_kitti", "test")
    assert (blind.scans, blind.labelled, blind.images) == (11, 0, 0)


def damage(tree: Path) -> set[str]:
    """Damage seven files of the training sequences; return their names below ``sequences``."""
    sequences = tree / "sequences"
    (sequences / "00/velodyne/000000.bin").write_bytes(bytes(7))
    (sequences / "01/labels/000001.label").unlink()
    np.full(POINTS, 12, "<u4").tofile(sequences / "02/labels/000000.label")
    points = np.fromfile(sequences / "03/velodyne/000002.bin", "<f4")
    points[5] = np.nan
    points.tofile(sequences / "03/velodyne/000002.bin")
    image = sequences / "04/image_2/000000.png"
    image.write_bytes(image.read_bytes()[:-600])  # its head is well, so that only who decodes it finds out
    (sequences / "05/image_2/000001.png").unlink()
    (sequences / "06/poses.txt").write_text("no numbers\n")
    return {
        "00/velodyne/000000.bin", "01/labels/000001.label", "02/labels/000000.label", "03/velodyne/000002.bin",
        "04/image_2/000000.png", "05/image_2/000001.png", "06/poses.txt",
    }  # fmt: skip


@pytest.mark.parametrize("processes", [1, 2])
def test_every_damage_is_found_and_the_rest_is_counted(tree: Path, processes: int) -> None:
    damaged = damage(tree)
    report = check_split("kitti", "semantic_kitti", tree, "semantic_kitti", "train", processes)
    assert {path.removeprefix(f"{tree}/sequences/") for path in report.problems} == damaged
    assert report.scans == 28  # of 30, two have no points that can be read
    assert report.labelled == 26
    assert report.images == 26  # those of the two are not looked at
    assert report.points == 28 * POINTS
    text = as_text([report])
    assert "train" in text
    assert all(name in text for name in damaged)
    assert "id 12 at point 0" in text


def test_the_command_prints_and_fails(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--dataset", "kitti", "--processes", "1"]
    bare = ["--format", "semantic_kitti", "--version", "semantic_kitti", "--root", str(tree)]
    assert main(["check-data", *place, *bare]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[:2] for line in printed.splitlines()[1:4]] == [["train", "30"], ["val", "2"], ["test", "11"]]
    damage(tree)
    assert main(["check-data", *place, *bare, "--split", "train"]) == 1
    captured = capsys.readouterr()
    assert "no numbers" in captured.out
    assert "7 problems in kitti" in captured.err
    assert main(["check-data", *place, *bare[:4]]) == 1
    assert "--root" in capsys.readouterr().err
    assert main(["check-data", *place, *bare[:4], "--root", str(tmp_path / "nowhere")]) == 1
    assert "nothing of any of its splits" in capsys.readouterr().err
    assert main(["check-data", *place, *bare, "--processes", "0"]) == 1


def test_a_config_says_what_and_where(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load((Path(__file__).resolve().parents[2] / "config" / "smoke.yaml").read_text())
    values["datasets"]["kitti"] = {
        "format": "semantic_kitti", "version": "semantic_kitti", "root": str(tree),
        "splits": {"train": "train", "validation": "val"},
    }  # fmt: skip
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(values))
    arguments = ["check-data", "--config", str(tmp_path / "my.yaml"), "--processes", "1", "--dataset"]
    assert main([*arguments, "kitti", "--split", "val"]) == 0
    assert "100" in capsys.readouterr().out
    assert main([*arguments, "kiti"]) == 1
    assert "one of kitti, toy_" in capsys.readouterr().err
    assert main([*arguments, "kitti", "--root", "elsewhere"]) == 1
    assert main(["check-data", "--config", str(tmp_path / "none.yaml"), "--dataset", "kitti"]) == 1


def test_nuscenes_is_walked_likewise(toy_nuscenes: Path, tmp_path: Path) -> None:
    root = tmp_path / "nuscenes"
    shutil.copytree(toy_nuscenes, root)
    assert splits_here("nuscenes", root, "v1.0-mini") == ["mini_train", "mini_val"]
    good = check_split("toy", "nuscenes", root, "v1.0-mini", "mini_val")
    assert (good.scans, good.labelled, good.images, good.problems) == (3, 3, 18, {})
    (sweep,) = list((root / "samples" / "LIDAR_TOP").glob("*scene-0103*"))[:1]
    (image,) = list((root / "samples" / "CAM_BACK").glob("*scene-0103*"))[:1]
    sweep.write_bytes(b"")
    image.unlink()
    bad = check_split("toy", "nuscenes", root, "v1.0-mini", "mini_val")
    assert set(bad.problems) == {str(sweep), str(image)}
    shutil.rmtree(root / "v1.0-mini")
    assert len(check_split("toy", "nuscenes", root, "v1.0-mini", "mini_val").problems) == 1
