from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_nuscenes import Thing, annotated, index_of, keyframe
from nuscenes import NuScenes
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from cmcr.boxes.boxes3d import Boxes3D, points_in_box
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes import lidar_pose, read_boxes
from cmcr.data.nuscenes_boxes import AnnotatedBoxes, boxes_in_lidar, boxes_in_world
from cmcr.data.nuscenes_index import make_index
from cmcr.data.nuscenes_names import ATTRIBUTES, CATEGORIES, CLASS_NAMES, THING_CLASSES
from cmcr.errors import DataError


@pytest.fixture(scope="module")
def nusc(toy_nuscenes: Path) -> NuScenes:
    return NuScenes("v1.0-mini", str(toy_nuscenes), verbose=False)


def tilted(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """A pose of a LiDAR that leans."""
    turn = [Quaternion(axis=axis, angle=angle) for axis, angle in zip(np.eye(3), (roll, pitch, yaw), strict=True)]
    pose = np.eye(4)
    pose[:3, :3] = (turn[2] * turn[1] * turn[0]).rotation_matrix
    pose[:3, 3] = (410.0, 1180.0, 1.8)
    return pose


def test_classes_are_those_of_the_detection_challenge() -> None:
    for name, class_name in CATEGORIES:
        number = CLASS_NAMES.index(class_name)
        assert category_to_detection_name(name) == (class_name if number in THING_CLASSES else None)


def test_a_car_by_hand() -> None:
    """It drives east, 10 m ahead of a vehicle that looks east; the LiDAR's y looks ahead, too."""
    record = keyframe(0, [Thing("vehicle.car", 10, velocity=(5.0, 0.0), lidar_points=7, radar_points=2)])
    boxes = boxes_in_lidar(read_boxes(record, Path("nowhere")), lidar_pose(record))
    np.testing.assert_allclose(boxes.geometry, [[0, 10, 0.75 - 2.0, 4, 2, 1.5, np.pi / 2]], atol=1e-9)
    np.testing.assert_allclose(boxes.velocity, [[0, 5]], atol=1e-9)
    assert boxes.classes.tolist() == [CLASS_NAMES.index("car")]
    assert boxes.num_points is not None
    assert boxes.num_points.tolist() == [9]


def test_a_lidar_that_leans_by_hand() -> None:
    """It looks down by 0.1 rad, so what is far ahead on the ground is seen high up, nearly as far as it is."""
    record = keyframe(0, [Thing("vehicle.car", 20, velocity=(3.0, 4.0))], tilt=0.1)
    boxes = boxes_in_lidar(read_boxes(record, Path("nowhere")), lidar_pose(record))
    down = 2.0 - 0.75
    expected = [0, 20 * np.cos(0.1) + down * np.sin(0.1), 20 * np.sin(0.1) - down * np.cos(0.1)]
    np.testing.assert_allclose(boxes.geometry[0, :3], expected, atol=1e-9)
    assert boxes.geometry[0, 6] == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(boxes.velocity, [[-4, 3 * np.cos(0.1)]], atol=1e-9)


def agrees_with_the_devkit(nusc: NuScenes, index: ScanIndex) -> int:
    """Compare the boxes of all scans with those that the devkit brings into the LiDAR's frame; return their number."""
    compared = 0
    for position, record in enumerate(index.records):
        boxes, raw = index.read(position).boxes, read_boxes(record, index.root)
        assert boxes is not None
        assert boxes.velocity is not None
        _, official, _ = nusc.get_sample_data(record.token)
        sensor = nusc.get("sample_data", record.token)
        turns = [nusc.get(table, sensor[f"{table}_token"])["rotation"] for table in ("ego_pose", "calibrated_sensor")]
        assert record.sample == sensor["sample_token"]
        assert len(boxes) == len(official) == len(raw)
        for place, box in enumerate(official):
            thing = nusc.get("sample_annotation", box.token)
            np.testing.assert_allclose(boxes.geometry[place, :3], box.center, atol=1e-8)
            np.testing.assert_allclose(boxes.geometry[place, 3:6], box.wlh[[1, 0, 2]], atol=1e-9)
            assert np.cos(boxes.geometry[place, 6] - quaternion_yaw(box.orientation)) == pytest.approx(1, abs=1e-12)
            name = category_to_detection_name(box.name)
            assert boxes.classes[place] == (0 if name is None else CLASS_NAMES.index(name))
            velocity = nusc.box_velocity(box.token)
            np.testing.assert_allclose(raw.world.velocity_N2[place], velocity[:2], atol=1e-9)
            moving = Box([0, 0, 0], [1, 1, 1], Quaternion(), velocity=(*velocity[:2], 0.0))
            for turn in turns:
                moving.rotate(Quaternion(turn).inverse)
            np.testing.assert_allclose(boxes.velocity[place], moving.velocity[:2], atol=1e-8)
            assert raw.lidar_points[place] == thing["num_lidar_pts"]
            assert raw.radar_points[place] == thing["num_radar_pts"]
            attributes = [nusc.get("attribute", token)["name"] for token in thing["attribute_tokens"]]
            assert [ATTRIBUTES[number - 1] for number in raw.attribute[[place]] if number] == attributes
            compared += 1
    return compared


@pytest.mark.parametrize("split", ["mini_train", "mini_val"])
def test_boxes_of_the_toy_city_are_the_devkits(nusc: NuScenes, toy_nuscenes: Path, split: str) -> None:
    index = make_index("toy", toy_nuscenes, "v1.0-mini", split)
    assert agrees_with_the_devkit(nusc, index) > 200
    velocity = np.concatenate([read_boxes(record, index.root).world.velocity_N2 for record in index.records])
    assert np.isfinite(velocity).all(axis=1).mean() > 0.9  # nearly all are seen more than once
    assert (np.linalg.norm(velocity, axis=1) > 1).sum() > 10


def test_boxes_of_a_real_keyframe_are_the_devkits_and_hold_their_points(shared: Path) -> None:
    root = shared / "real" / "nuscenes"
    index = make_index("real", root, "v1.0-mini", "mini_train")
    assert agrees_with_the_devkit(NuScenes("v1.0-mini", str(root), verbose=False), index) == 69
    scan, raw = index.read(0), read_boxes(index.records[0], root)
    assert scan.boxes is not None
    counts = np.array([points_in_box(scan.points, box).sum() for box in scan.boxes.geometry])
    # Those near a face fall to either side.
    np.testing.assert_allclose(counts, raw.lidar_points, atol=1, rtol=0.11)
    assert (counts == raw.lidar_points).mean() > 0.85
    assert np.isnan(raw.world.velocity_N2).all()  # there is no other keyframe


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_way_to_the_world_and_back_loses_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = tilted(*rng.uniform(-0.1, 0.1, 2), rng.uniform(-np.pi, np.pi))
    geometry = rng.uniform([-50, -50, -3, 0.3, 0.3, 0.3, -np.pi], [50, 50, 2, 8, 3, 3, np.pi], (5, 7))
    boxes = Boxes3D(geometry, np.full(5, 1), rng.normal(size=(5, 2)))
    world = boxes_in_world(boxes, pose)
    assert not world.rotation_N4[:, 1:3].any()  # upright
    zeros = np.zeros(5, dtype=np.int64)
    again = boxes_in_lidar(AnnotatedBoxes(zeros, zeros, zeros, zeros, world), pose)
    np.testing.assert_allclose(again.geometry[:, :6], geometry[:, :6], atol=1e-9)
    np.testing.assert_allclose(np.cos(again.geometry[:, 6] - geometry[:, 6]), 1, atol=1e-12)
    np.testing.assert_allclose(again.velocity, boxes.velocity, atol=1e-9)


def test_headings_in_the_world_are_those_of_the_devkit_but_for_the_lean() -> None:
    """Whoever turns the box as a whole gets nearly the same: the lean counts twice."""
    pose = tilted(0.02, -0.015, 0.7)
    geometry = np.column_stack([np.zeros((8, 3)), np.ones((8, 3)), np.arange(8) * np.pi / 4])
    world = boxes_in_world(Boxes3D(geometry, np.ones(8, dtype=np.int64)), pose)
    whole = Quaternion(matrix=pose[:3, :3])
    for yaw, rotation in zip(geometry[:, 6], world.rotation_N4, strict=True):
        official = quaternion_yaw(whole * Quaternion(axis=(0, 0, 1), angle=yaw))
        assert np.cos(official - quaternion_yaw(Quaternion(rotation))) == pytest.approx(1, abs=1e-6)
    assert np.isnan(world.velocity_N2).all()  # nobody told them


def test_words_give_the_same_boxes() -> None:
    boxes = annotated(
        [
            Thing("vehicle.car", 10.123, 3, yaw=1.0, velocity=(np.nan, np.nan), attribute="vehicle.parked"),
            Thing("animal", -7, velocity=(1 / 3, 0.0), lidar_points=0, radar_points=3),
        ]
    )
    again = AnnotatedBoxes.from_text(boxes.to_text())
    for name in ("category", "attribute", "lidar_points", "radar_points", "classes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(boxes, name))
    for mine, other in zip(again.world, boxes.world, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-10)
    assert boxes.classes.tolist() == [4, 0]
    assert len(AnnotatedBoxes.from_text("")) == 0
    assert AnnotatedBoxes.from_text("").to_text() == ""


def test_without_labels_there_are_no_boxes(toy_nuscenes: Path) -> None:
    index = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_val")
    assert index.read(0, with_labels=False).boxes is None


def test_a_split_without_annotations_says_so_when_boxes_are_asked_for() -> None:
    record = keyframe(0, None)
    with pytest.raises(DataError, match=r"sweep0 of scene has no boxes\n  expected: .*sample_annotation"):
        read_boxes(record, Path("nowhere"))
    assert len(read_boxes(keyframe(1, []), Path("nowhere"))) == 0  # labelled, and empty


def test_an_index_keeps_boxes_and_samples(tmp_path: Path) -> None:
    index = index_of(keyframe(0, [Thing("vehicle.car", 10)]), keyframe(1, []))
    index.save(tmp_path / "index")
    assert ScanIndex.load(tmp_path / "index").records == index.records
    moved = dataclasses.replace(index.records[0], annotations=annotated([Thing("vehicle.car", 11)]).to_text())
    assert dataclasses.replace(index, records=(moved, index.records[1]), checksum="").checksum != index.checksum
    plain = dataclasses.replace(keyframe(0, None), sample=None)
    assert not {"annotations", "sample", "boxes"} & set(json.loads(plain.to_json()))


def test_boxes_without_a_return_are_not_learned(toy_nuscenes: Path) -> None:
    from cmcr.data.augment import PointAugmentation
    from cmcr.data.detection_batches import DetectionDataset, collate_detection
    from cmcr.data.range_grid import RangeGrid

    index = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_train")
    grid = RangeGrid(bounds_m=(-60, -60, -5, 60, 60, 3), cell_m=(0.5, 0.5, 0.2))
    still: dict[str, Any] = {"rotation_deg": 0, "flip_x": 0, "flip_y": 0}
    raw = read_boxes(index.records[0], index.root)
    empty = int((raw.num_points == 0).sum())
    assert empty > 0
    whole = DetectionDataset(index, [0], grid)[0]
    learned = DetectionDataset(index, [0], grid, augmentation=PointAugmentation(**still))[0]
    assert whole.boxes is not None
    assert learned.boxes is not None
    assert len(learned.boxes) == len(whole.boxes) - empty == len(raw) - empty
    assert collate_detection([learned]).velocities[0] is not None
