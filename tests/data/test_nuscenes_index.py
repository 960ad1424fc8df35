"""Making an index of a nuScenes folder: what is listed, in which order, and one clear error for each broken folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_index import make_index
from cmcr.data.nuscenes_names import CAMERAS
from cmcr.data.nuscenes_tables import TABLES
from cmcr.errors import ConfigError, DataError

VERSION = "v1.0-mini"


@pytest.fixture
def city(toy_nuscenes: Path, tmp_path: Path) -> Path:
    """A copy of the toy city to damage. Files are shared with the original: replace them, never write into them."""
    shutil.copytree(toy_nuscenes, tmp_path / "city", copy_function=os.link)
    return tmp_path / "city"


def index_of(root: Path, split: str = "mini_train") -> ScanIndex:
    return make_index("toy", root, VERSION, split)


def replace(path: Path, content: bytes) -> None:
    """Give ``path`` another content without touching files that share the present one."""
    path.unlink()
    path.write_bytes(content)


def table(root: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((root / VERSION / f"{name}.json").read_bytes())


def edit(name: str, change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path], None]:
    """Return a damage: table ``name`` changed in place by ``change``."""

    def damage(root: Path) -> None:
        records = table(root, name)
        change(records)
        replace(root / VERSION / f"{name}.json", json.dumps(records).encode())

    return damage


def set_field(name: str, field: str, value: Any, where: Callable[[dict[str, Any]], bool] = lambda _: True):
    """Return a damage: ``field`` set in the first record of table ``name`` for which ``where`` holds."""
    return edit(name, lambda records: next(filter(where, records)).__setitem__(field, value))


def on_file(folder: str, change: Callable[[bytes], bytes | None]) -> Callable[[Path], None]:
    """Return a damage: the first keyframe's file below ``folder`` changed, or deleted where ``change`` gives None."""

    def damage(root: Path) -> None:
        record = index_of(root).records[0]
        paths = (record.lidar, record.labels, record.panoptic, *(camera.image for camera in record.cameras))
        path = root / next(path for path in paths if path is not None and folder in path)
        content = change(path.read_bytes())
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return damage


def forget_one_label(root: Path) -> None:
    """Remove the label file of the first keyframe, and its record."""
    token = index_of(root).records[0].token
    edit("lidarseg", lambda records: records.remove(next(r for r in records if r["sample_data_token"] == token)))(root)
    (root / "lidarseg" / VERSION / f"{token}_lidarseg.bin").unlink()


def test_every_keyframe_of_the_split_is_listed_in_order(toy_nuscenes: Path):
    from nuscenes.utils.splits import mini_train, mini_val

    for split, names, scenes in (("mini_train", mini_train, 2), ("mini_val", mini_val, 1)):
        index = index_of(toy_nuscenes, split)
        assert len(index) == 3 * scenes
        order = [(record.scene, record.timestamp_us) for record in index.records]
        assert order == sorted(order)
        assert {scene for scene, _ in order} == {scene["name"] for scene in table(toy_nuscenes, "scene")} & set(names)
        assert all(tuple(camera.name for camera in record.cameras) == CAMERAS for record in index.records)


def test_scans_agree_with_the_devkit(toy_nuscenes: Path):
    """Points, labels and panoptic labels as the devkit reads them, and poses as it multiplies them."""
    from nuscenes import NuScenes
    from nuscenes.utils.data_classes import LidarPointCloud
    from nuscenes.utils.data_io import load_bin_file
    from nuscenes.utils.geometry_utils import transform_matrix
    from pyquaternion import Quaternion

    nusc = NuScenes(VERSION, str(toy_nuscenes), verbose=False)
    index = index_of(toy_nuscenes)
    scan = index.read(4)
    lidar = nusc.get("sample_data", scan.token)
    points = LidarPointCloud.from_file(nusc.get_sample_data_path(scan.token)).points.T
    np.testing.assert_array_equal(scan.points[:, :3], points[:, :3])
    np.testing.assert_allclose(scan.points[:, 3] * 255, points[:, 3], rtol=1e-6)
    panoptic = load_bin_file(str(toy_nuscenes / nusc.get("panoptic", scan.token)["filename"]), "panoptic")
    np.testing.assert_array_equal(scan.instances, np.where(panoptic % 1000, panoptic, 0))
    assert len(scan.labels) == len(points)

    def world_from(sample_data: dict[str, Any]) -> np.ndarray:
        sensor = nusc.get("calibrated_sensor", sample_data["calibrated_sensor_token"])
        vehicle = nusc.get("ego_pose", sample_data["ego_pose_token"])
        first, then = (transform_matrix(r["translation"], Quaternion(r["rotation"])) for r in (sensor, vehicle))
        return then @ first

    sample = nusc.get("sample", lidar["sample_token"])
    for camera in scan.cameras:
        image = nusc.get("sample_data", sample["data"][camera.name])
        np.testing.assert_allclose(
            camera.camera_from_lidar, np.linalg.inv(world_from(image)) @ world_from(lidar), atol=1e-9
        )
        assert camera.image_path == toy_nuscenes / image["filename"]
        assert camera.size == (56, 100)


def test_the_index_is_the_same_wherever_the_folder_lies(toy_nuscenes: Path, city: Path):
    first, second = index_of(toy_nuscenes), index_of(city)
    assert first.checksum == second.checksum
    assert first.records == second.records
    np.testing.assert_array_equal(first.read(0).points, second.read(0).points)


def test_scenes_keep_the_order_of_their_table_and_nothing_else_depends_on_order(toy_nuscenes: Path, city: Path):
    for name in ("sample", "sample_data"):
        edit(name, list.reverse)(city)
    assert index_of(city).records == index_of(toy_nuscenes).records
    edit("scene", list.reverse)(city)
    scenes = list(dict.fromkeys(record.scene for record in index_of(toy_nuscenes).records))
    assert list(dict.fromkeys(record.scene for record in index_of(city).records)) == scenes[::-1]


def test_without_the_label_downloads_scans_are_unlabelled(city: Path):
    for name in ("lidarseg", "panoptic"):
        (city / VERSION / f"{name}.json").unlink()
        shutil.rmtree(city / name)
    record = index_of(city).records[0]
    assert record.labels is record.labels_bytes is record.panoptic is record.panoptic_bytes is None
    assert index_of(city).read(0).labels is None


def test_where_nothing_is_annotated_scans_have_no_boxes(city: Path):
    """As in the test split, whose tables of annotations and instances are empty."""
    for name in ("sample_annotation", "instance"):
        replace(city / VERSION / f"{name}.json", b"[]")
    index = index_of(city)
    assert all(record.boxes is record.annotations is None for record in index.records)
    assert index.read(0).boxes is None
    assert index.read(0).labels is not None
    assert all(record.sample for record in index.records)


def test_a_keyframe_may_be_empty_in_an_annotated_split(city: Path):
    token = index_of(city).records[1].sample

    def empty(records: list[dict[str, Any]]) -> None:
        records[:] = [r | {"prev": "", "next": ""} for r in records if r["sample_token"] != token]

    edit("sample_annotation", empty)(city)
    records = index_of(city).records
    assert records[1].annotations == ""
    assert index_of(city).read(1).boxes is not None
    assert len(index_of(city).read(1).boxes) == 0
    assert records[0].boxes == f"{VERSION}/sample_annotation.json"


def test_scenes_that_are_not_here_are_named_in_a_warning(toy_nuscenes: Path, caplog):
    index_of(toy_nuscenes)
    assert "2 of the 8 scenes of mini_train" in caplog.text


@pytest.mark.parametrize(
    ("version", "split", "found"),
    [
        (
            "v1.0-trainval",
            "train",
            r"v1\.0-trainval\n  expected: the tables of v1\.0-trainval\n.*versions here: v1\.0-mini",
        ),
        (VERSION, "train", r"scene\.json\n  expected: the 700 scenes of split train\n"),
    ],
)
def test_a_wrong_version_or_split_is_explained(toy_nuscenes: Path, version, split, found):
    with pytest.raises(DataError, match=found):
        make_index("toy", toy_nuscenes, version, split)


def test_an_unknown_split_is_answered_with_the_known_ones(toy_nuscenes: Path):
    with pytest.raises(ConfigError, match=r"'minitrain'[\s\S]*mini_train, mini_val"):
        index_of(toy_nuscenes, "minitrain")


def test_a_wrong_root_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere\n  expected: a nuScenes folder\n  found:    no such folder"):
        index_of(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"versions here: none"):
        index_of(tmp_path)


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_table_is_named(city: Path, name):
    (city / VERSION / f"{name}.json").unlink()
    with pytest.raises(DataError, match=rf"{name}\.json\n  expected: all 13 tables.*\n  found:    no such file"):
        index_of(city)


@pytest.mark.parametrize("name", [*TABLES, "lidarseg", "panoptic"])
@pytest.mark.parametrize("keep", [0.5, 0])
def test_a_damaged_table_is_named(city: Path, name, keep):
    path = city / VERSION / f"{name}.json"
    content = path.read_bytes()
    replace(path, content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=rf"{name}\.json\n  expected: a table in JSON\n  found:    damaged"):
        index_of(city)


#: A damage, the file that the message begins with, what it expects and what it finds.
BROKEN_FOLDERS: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "pose token": (
        set_field("sample_data", "ego_pose_token", "nowhere"), "sample_data.json", "ego_pose_token", "nowhere"),
    "calibration token": (
        set_field("sample_data", "calibrated_sensor_token", "nowhere"), "sample_data.json",
        "calibrated_sensor_token", "nowhere"),
    "sample token": (
        set_field("sample_data", "sample_token", "nowhere"), "sample_data.json", "sample_token", "nowhere"),
    "sensor token": (
        set_field("calibrated_sensor", "sensor_token", "nowhere"), "calibrated_sensor.json", "sensor_token", "nowhere"),
    "first sample token": (
        set_field("scene", "first_sample_token", "nowhere"), "scene.json", "first_sample_token", "nowhere"),
    "next sample token": (
        set_field("sample", "next", "nowhere", lambda r: r["next"]), "sample.json", "next", "nowhere"),
    "instance token": (
        set_field("sample_annotation", "instance_token", "nowhere"), "sample_annotation.json",
        "instance_token", "nowhere"),
    "category token": (
        set_field("instance", "category_token", "nowhere"), "instance.json", "category_token", "nowhere"),
    "chain in a circle": (
        edit("sample", lambda rs: [r.__setitem__("next", r["token"]) for r in rs]), "sample.json",
        "a chain of 3 keyframes", "more"),
    "a keyframe too few": (
        set_field("scene", "nbr_samples", 4), "sample.json", "a chain of 4 keyframes", "3"),
    "a keyframe too many": (
        set_field("scene", "nbr_samples", 2), "sample.json", "a chain of 2 keyframes", "3"),
    "no image of a camera": (
        edit("sample_data", lambda rs: rs.remove(next(r for r in rs if "CAM_BACK/" in r["filename"]))),
        "sample_data.json", "a LiDAR sweep and six images", "CAM_BACK"),
    "infinite pose": (
        set_field("ego_pose", "translation", [float("inf"), 0, 0]), "ego_pose.json", "translation", "inf"),
    "rotation of zeros": (
        set_field("ego_pose", "rotation", [0, 0, 0, 0]), "ego_pose.json", "rotation", "0, 0, 0, 0"),
    "no intrinsics": (
        set_field("calibrated_sensor", "camera_intrinsic", [], lambda r: r["camera_intrinsic"]),
        "calibrated_sensor.json", "camera_intrinsic.* 3 x 3", r"\[\]"),
    "categories from before the labels": (
        edit("category", lambda rs: [r.pop("index") for r in rs]), "category.json", "32 categories", "0 is None"),
    "a category renumbered": (
        set_field("category", "name", "vehicle.tank", lambda r: r["index"] == 17), "category.json",
        "17 is vehicle.car", "17 is vehicle.tank"),
    "a label file without a record": (
        edit("lidarseg", lambda rs: rs.pop(0)), "_lidarseg.bin",
        "a record of this label file in .*lidarseg.json", "none"),
    "labels for a part of the scans": (forget_one_label, "lidarseg.json", "labels for all 6 keyframes", "none for 1"),
    "labels of an unknown sweep": (
        set_field("panoptic", "sample_data_token", "nowhere"), "panoptic.json", "sample_data_token", "nowhere"),
    "a table that holds no records": (
        lambda root: replace(root / VERSION / "log.json", b'{"a": 1}'), "log.json",
        "a list of records", "something else"),
    "a map that is not here": (
        set_field("map", "filename", "maps/nowhere.png"), VERSION, "tables that fit the files", "."),
    "labels without a table": (
        lambda root: (root / VERSION / "lidarseg.json").unlink(), "lidarseg.json",
        "a table for the label files", "no such"),
    "sweep missing": (on_file("LIDAR_TOP", lambda _: None), "LIDAR_TOP", "20 bytes for each", "no such file"),
    "sweep empty": (on_file("LIDAR_TOP", lambda _: b""), "LIDAR_TOP", "20 bytes for each", "0 bytes"),
    "sweep cut": (on_file("LIDAR_TOP", lambda b: b[:-7]), "LIDAR_TOP", "20 bytes for each", r"\d+ bytes"),
    "image missing": (on_file("CAM_FRONT/", lambda _: None), "CAM_FRONT", "an image", "no such file"),
    "image empty": (on_file("CAM_FRONT/", lambda _: b""), "CAM_FRONT", "an image", "0 bytes"),
    "labels missing": (on_file("lidarseg", lambda _: None), "_lidarseg.bin", "label files", "no such file"),
    "labels of another count": (
        on_file("lidarseg", lambda b: b[:-1]), "_lidarseg.bin",
        r"one byte for each of the sweep's \d+ points", "bytes"),
    "panoptic missing": (on_file("panoptic", lambda _: None), "_panoptic.npz", "label files", "no such file"),
    "panoptic empty": (on_file("panoptic", lambda _: b""), "_panoptic.npz", "panoptic labels", "0 bytes"),
    "annotation of no time": (
        edit("sample", lambda rs: [r.__setitem__("timestamp", 5) for r in rs]), "sample_annotation.json",
        "keyframes of other times", "no time"),
    "next annotation": (
        set_field("sample_annotation", "next", "nowhere", lambda r: r["next"]), "sample_annotation.json",
        "next", "nowhere"),
    "attribute token": (
        set_field("sample_annotation", "attribute_tokens", ["nowhere"]), "sample_annotation.json",
        "attribute_tokens", "nowhere"),
    "two attributes": (
        edit("sample_annotation", lambda rs: [r.__setitem__("attribute_tokens", ["a", "b"]) for r in rs]),
        "sample_annotation.json", "one attribute at most", "2"),
    "an attribute of another data set": (
        edit("attribute", lambda rs: [r.__setitem__("name", "vehicle.flying") for r in rs]), "attribute.json",
        "vehicle.moving", "vehicle.flying"),
    "a box without height": (
        set_field("sample_annotation", "size", [1, 2, 0]), "sample_annotation.json", "3 lengths above 0", "1, 2, 0"),
    "a box of two numbers": (
        set_field("sample_annotation", "translation", [1, 2]), "sample_annotation.json",
        "3 finite numbers as translation", r"\[1, 2\]"),
    "a box of two numbers in a later keyframe": (
        set_field("sample_annotation", "translation", [1, 2], lambda r: r["prev"]), "sample_annotation.json",
        "neighbours of the thing with 3 numbers", "operands"),
    "a box beyond all numbers": (
        edit("sample_annotation", lambda rs: [r.__setitem__("translation", [10**400, 0, 0]) for r in rs]),
        "sample_annotation.json", "3 finite numbers as translation", "1000"),
    "a box that is not turned": (
        set_field("sample_annotation", "rotation", [0, 0, 0, 0]), "sample_annotation.json", "a quaternion", "0, 0"),
    "a word for a number of returns": (
        set_field("sample_annotation", "num_lidar_pts", "many"), "sample_annotation.json", "num_lidar_pts", "many"),
    "true for a number of returns": (
        set_field("sample_annotation", "num_lidar_pts", True), "sample_annotation.json", "num_lidar_pts", "True"),
    "more returns than any sweep has": (
        set_field("sample_annotation", "num_radar_pts", 2**64), "sample_annotation.json", "num_radar_pts", "1844674"),
    "path out of the folder": (
        set_field("sample_data", "filename", "../../secret.bin"), "sample_data.json",
        "below the data set's root", "out of it"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_FOLDERS)
def test_each_broken_folder_gives_one_clear_error(city: Path, case):
    damage, file, expected, found = BROKEN_FOLDERS[case]
    damage(city)
    with pytest.raises(DataError) as caught:
        index_of(city)
    lines = str(caught.value).split("\n")
    assert file in lines[0]
    assert lines[1].startswith("  expected: ")
    assert re.search(expected, lines[1]), lines[1]
    assert lines[2].startswith("  found:    ")
    assert re.search(found, lines[2]), lines[2]
