from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from invented_nuscenes import Thing, detections, index_of, keyframe
from nuscenes.eval.common.loaders import load_prediction
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.constants import ATTRIBUTE_NAMES
from nuscenes.eval.detection.constants import DETECTION_NAMES as OFFICIAL_NAMES
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.utils import detection_name_to_rel_attributes
from pyquaternion import Quaternion

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes import lidar_pose, read_boxes
from cmcr.data.nuscenes_boxes import AnnotatedBoxes, WorldBoxes, boxes_in_lidar
from cmcr.data.nuscenes_names import CLASS_NAMES
from cmcr.errors import DataError
from cmcr.evaluation.nuscenes_submission import (
    DETECTION_NAMES,
    MOST_BOXES,
    attribute_of,
    submitted_boxes,
    write_nuscenes_submission,
)

NOTHING = Detections(torch.empty(0, 7), torch.empty(0), torch.empty(0, dtype=torch.int64), torch.empty(0, 2))


@pytest.fixture
def index() -> ScanIndex:
    """Two keyframes with a leaning LiDAR: a car and a pedestrian; nothing."""
    car = Thing("vehicle.car", 10, 2, yaw=0.4, velocity=(3.0, -4.0))
    walker = Thing("human.pedestrian.adult", -8, yaw=-2.0, size_lwh=(0.7, 0.6, 1.8), velocity=(0.1, 0.0))
    return index_of(keyframe(0, [car, walker], tilt=0.05), keyframe(1, []))


def true_boxes(index: ScanIndex, position: int = 0) -> Boxes3D:
    record = index.records[position]
    return boxes_in_lidar(read_boxes(record, index.root), lidar_pose(record))


def random_detections(number: int, rng: np.random.Generator, velocity: bool = True) -> Detections:
    geometry = rng.uniform([-50, -50, -3, 0.3, 0.3, 0.3, -np.pi], [50, 50, 2, 8, 3, 3, np.pi], (number, 7))
    boxes = Boxes3D(geometry, rng.integers(1, 11, number), rng.normal(size=(number, 2)) if velocity else None)
    return detections(boxes, rng.random(number))


def test_the_official_loader_reads_what_is_written(index: ScanIndex, tmp_path: Path) -> None:
    found = detections(true_boxes(index), np.array([0.25, 0.75]))
    write_nuscenes_submission(tmp_path / "new" / "found.json", index, {"sweep0": found, "sweep1": NOTHING})
    boxes, meta = load_prediction(str(tmp_path / "new" / "found.json"), MOST_BOXES, DetectionBox)
    assert meta == {f"use_{name}": name == "lidar" for name in ("camera", "lidar", "radar", "map", "external")}
    assert boxes.sample_tokens == ["sample0", "sample1"]
    assert boxes["sample1"] == []
    walker, car = boxes["sample0"]
    assert (walker.detection_name, walker.detection_score) == ("pedestrian", 0.75)
    assert (walker.attribute_name, car.attribute_name) == ("pedestrian.standing", "vehicle.moving")
    # The vehicle is at (100, 50); see the things of the fixture.
    np.testing.assert_allclose(car.translation, [110, 52, 0.75], atol=1e-9)
    np.testing.assert_allclose(car.size, [2, 4, 1.5])
    np.testing.assert_allclose(car.velocity, [3, -4], atol=1e-9)
    assert quaternion_yaw(Quaternion(car.rotation)) == pytest.approx(0.4)
    assert quaternion_yaw(Quaternion(walker.rotation)) == pytest.approx(-2.0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["found.json"]


@pytest.mark.parametrize("velocity", [True, False])
def test_in_the_file_are_the_boxes_in_the_world(index: ScanIndex, tmp_path: Path, velocity: bool) -> None:
    found = {
        record.token: random_detections(20, np.random.default_rng(n), velocity)
        for n, record in enumerate(index.records)
    }
    write_nuscenes_submission(tmp_path / "found.json", index, found)
    results = json.loads((tmp_path / "found.json").read_text())["results"]
    assert list(results) == ["sample0", "sample1"]
    for record in index.records:
        boxes, expected = results[record.sample], found[record.token]
        fields = ("translation", "size", "rotation", "velocity")
        world = WorldBoxes(*(np.array([box[field] for box in boxes]) for field in fields))
        none = np.zeros(20, dtype=np.int64)
        again = boxes_in_lidar(AnnotatedBoxes(none, none, none, none, world), lidar_pose(record))
        np.testing.assert_allclose(again.geometry[:, :6], expected.boxes_N7[:, :6], atol=1e-9)
        np.testing.assert_allclose(np.cos(again.geometry[:, 6] - expected.boxes_N7[:, 6].numpy()), 1, atol=1e-12)
        np.testing.assert_array_equal([box["detection_score"] for box in boxes], expected.scores_N)
        names = [CLASS_NAMES[number] for number in expected.classes_N.tolist()]
        assert [box["detection_name"] for box in boxes] == names
        # Whose velocity is not told stands still.
        speeds = np.zeros((20, 2)) if expected.velocity_N2 is None else expected.velocity_N2
        np.testing.assert_allclose(again.velocity, speeds, atol=1e-9)


def test_of_too_many_boxes_the_best_are_kept(index: ScanIndex) -> None:
    found = random_detections(MOST_BOXES + 7, np.random.default_rng(0))
    shuffled = torch.randperm(len(found.scores_N), generator=torch.Generator().manual_seed(0))
    mixed = Detections(*(part[shuffled] for part in found))  # type: ignore[index]
    boxes = submitted_boxes(index.records[0], mixed, CLASS_NAMES[1:])
    assert [box["detection_score"] for box in boxes] == found.scores_N[:MOST_BOXES].tolist()
    # Of equal scores the first come first.
    equal = submitted_boxes(index.records[0], mixed._replace(scores_N=torch.ones(MOST_BOXES + 7)), CLASS_NAMES[1:])
    assert [box["detection_name"] for box in equal] == [CLASS_NAMES[n] for n in mixed.classes_N[:MOST_BOXES]]


def test_names_and_attributes_are_official() -> None:
    assert sorted(DETECTION_NAMES) == sorted(OFFICIAL_NAMES)
    for name in DETECTION_NAMES:
        for speed in (0.0, 0.2, 0.21, 9.0):
            given = attribute_of(name, speed)
            fitting = detection_name_to_rel_attributes(name)
            assert given in fitting if fitting else given == ""
            assert given in ("", *ATTRIBUTE_NAMES)
    assert [attribute_of("bus", speed) for speed in (0.2, 0.3)] == ["vehicle.stopped", "vehicle.moving"]
    assert [attribute_of("truck", speed) for speed in (0.2, 0.3)] == ["vehicle.parked", "vehicle.moving"]
    assert [attribute_of("bicycle", speed) for speed in (0.2, 0.3)] == ["cycle.without_rider", "cycle.with_rider"]
    assert [attribute_of("pedestrian", speed) for speed in (0.2, 0.3)] == ["pedestrian.standing", "pedestrian.moving"]


def test_classes_may_be_numbered_otherwise(index: ScanIndex) -> None:
    found = detections(dataclasses.replace(true_boxes(index), classes=np.array([2, 1])))
    boxes = submitted_boxes(index.records[0], found, ("pedestrian", "car"))
    assert [box["detection_name"] for box in boxes] == ["car", "pedestrian"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes_N": torch.tensor([4, 11])}, r"classes barrier, .*\n  found:    class 11 of .*11 driveable_surface"),
        ({"classes_N": torch.tensor([0, 4])}, r"found:    class 0 of"),
        ({"classes_N": torch.tensor([4, 99])}, r"found:    class 99 of"),
        ({"scores_N": torch.tensor([1.0, torch.nan])}, r"finite.*\n  found:    1 of 2 others.* score nan"),
        ({"velocity_N2": torch.tensor([[torch.inf, 0.0], [0.0, 0.0]])}, r"found:    1 of 2 others.*velocity \[inf"),
        ({"scores_N": torch.tensor([1.0, torch.nan]), "velocity_N2": None}, r"found:    1 of 2 others.* score nan\n"),
        ({"boxes_N7": torch.zeros(2, 7)}, r"lengths above 0\n  found:    2 of 2"),
        ({"boxes_N7": torch.ones(2, 7).index_fill(1, torch.tensor(3), 0)}, r"lengths above 0\n  found:    2 of 2"),
        ({"boxes_N7": torch.tensor([[1.0] * 7, [1, 1, 1, 1, 1, -1, 1]])}, r"lengths above 0\n  found:    1 of 2"),
    ],
)
def test_what_cannot_be_submitted_is_refused(index: ScanIndex, change: dict[str, torch.Tensor], message: str) -> None:
    found = detections(true_boxes(index))._replace(**change)
    with pytest.raises(DataError, match=rf"scan sweep0\n  expected: detections of [\s\S]*{message}"):
        submitted_boxes(index.records[0], found, CLASS_NAMES[1:])


def test_a_split_is_submitted_as_a_whole_or_not_at_all(index: ScanIndex, tmp_path: Path) -> None:
    missing = r"found\.json\n.*each of the 2 scans of val\n  found:    nothing about 1 of .*sweep1\n  way out:  "
    with pytest.raises(DataError, match=missing):
        write_nuscenes_submission(tmp_path / "found.json", index, {"sweep0": NOTHING})
    bad = detections(true_boxes(index))._replace(classes_N=torch.tensor([4, 0]))
    with pytest.raises(DataError, match="class 0"):
        write_nuscenes_submission(tmp_path / "found.json", index, {"sweep0": NOTHING, "sweep1": bad})
    assert list(tmp_path.iterdir()) == []
    nameless = index_of(dataclasses.replace(index.records[0], sample=None))
    with pytest.raises(DataError, match="make the index again"):
        write_nuscenes_submission(tmp_path / "found.json", nameless, {"sweep0": NOTHING})
