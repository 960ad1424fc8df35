from __future__ import annotations

from pathlib import Path

import pytest
from invented_releases import write_release

from cmcr.data.presence import Use, find_absent, where_to_get
from cmcr.data.releases import load_release, release_names

DOCS = Path(__file__).resolve().parents[2] / "docs"

TRAIN = Use("train", "a table", "segmentation")


def test_without_its_folder_a_data_set_is_one_thing_that_is_missing(tmp_path: Path) -> None:
    uses = [Use("train", "pre-training", images=True), TRAIN, Use("val", "a table", "segmentation")]
    (absent,) = find_absent("semantic_kitti", "semantic_kitti", tmp_path / "gone", uses)
    assert absent == (tmp_path / "gone", "no such folder", ("pre-training", "a table"))


@pytest.mark.parametrize("version", ["semantic_kitti", "semantic_poss", "rellis_3d", "synth4d_nuscenes"])
def test_what_an_index_can_be_made_of_is_there(tmp_path: Path, version: str) -> None:
    for split in ("train", "val"):
        write_release(tmp_path, version, split, images=True)
    uses = [Use(split, "somebody", "segmentation", images=True) for split in ("train", "val")]
    assert find_absent("semantic_kitti", version, tmp_path, uses) == []


def test_alike_things_are_named_together_with_those_who_need_them(tmp_path: Path) -> None:
    write_release(tmp_path, "semantic_kitti", "train", labels=False)
    uses = [TRAIN, Use("train", "pre-training", images=True), Use("val", "another table", "panoptic")]
    found = {absent.found: absent for absent in find_absent("semantic_kitti", "semantic_kitti", tmp_path, uses)}
    labels = found["no such folder of labels, nor 10 more like it"]
    assert labels.path == tmp_path / "sequences" / "00" / "labels"
    assert labels.needed_by == ("a table", "another table")
    assert found["no such folder of images, nor 9 more like it"].needed_by == ("pre-training",)
    assert found["no such folder of points"].path == tmp_path / "sequences" / "08" / "velodyne"
    assert len(found) == 3


def test_a_split_that_may_be_here_in_part_needs_one_scene(tmp_path: Path) -> None:
    (tmp_path / "sequences" / "03" / "velodyne").mkdir(parents=True)
    for split, expected in (("mini_train", 0), ("mini_val", 1)):
        use = Use(split, "somebody")
        assert len(find_absent("semantic_kitti", "semantic_kitti_mini", tmp_path, [use])) == expected


@pytest.mark.parametrize(("task", "table"), [("segmentation", "lidarseg"), ("panoptic", "panoptic"), (None, None)])
def test_nuscenes_asks_for_the_labels_of_the_task(tmp_path: Path, task: str | None, table: str | None) -> None:
    from skeleton import NUSCENES_TABLES

    (tmp_path / "v1").mkdir()
    for name in NUSCENES_TABLES.split()[:-2]:
        (tmp_path / "v1" / f"{name}.json").touch()
    (tmp_path / "samples" / "LIDAR_TOP").mkdir(parents=True)
    found = find_absent("nuscenes", "v1", tmp_path, [Use("train", "a table", task)])
    assert [absent.path for absent in found] == ([tmp_path / "v1" / f"{table}.json"] if table else [])
    (images,) = find_absent("nuscenes", "v1", tmp_path, [Use("train", "pre-training", images=True)])
    assert images.found == "no such folder of images, nor 5 more like it"


def test_waymo_needs_a_segment_of_each_split(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "segment-1.tfrecord").touch()
    uses = [Use("training_labelled", "a table"), Use("validation_labelled", "a table")]
    (absent,) = find_absent("tfrecords", "1.4", tmp_path, uses)
    assert absent.path == tmp_path / "validation" / "*.tfrecord"
    assert [absent.path.parent.name for absent in find_absent("waymo", "1.4", tmp_path, uses)] == ["training"]


def test_kitti_needs_its_lists_and_folders(tmp_path: Path) -> None:
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").touch()
    for folder in ("velodyne", "calib", "image_2"):
        (tmp_path / "training" / folder).mkdir(parents=True)
    assert find_absent("kitti", "training", tmp_path, [Use("train", "pre-training", images=True)]) == []
    (labels,) = find_absent("kitti", "training", tmp_path, [Use("train", "a table", "detection")])
    assert labels.path == tmp_path / "training" / "label_2"


def test_every_data_set_says_where_to_get_it_as_the_documentation_does() -> None:
    text = (DOCS / "datasets.md").read_text() + (DOCS / "waymo.md").read_text()
    found = [where_to_get("semantic_kitti", version) for version in release_names()]
    found += [where_to_get(format, "") for format in ("waymo", "kitti", "nuscenes")]
    for words in found:
        (address, *_) = (word for word in words.split() if word.startswith("http"))
        assert address.split("//")[1].removeprefix("www.").split("#")[0].rstrip(":/") in text, words


def test_where_to_get_it_is_no_part_of_what_an_index_was_made_with() -> None:
    release = load_release("semantic_poss")
    assert release.model_copy(update={"source": "elsewhere"}).digest == release.digest
