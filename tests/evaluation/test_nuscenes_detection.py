from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invented_nuscenes import Thing, detections, index_of, keyframe
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes import lidar_pose, read_boxes
from cmcr.data.nuscenes_boxes import boxes_in_lidar
from cmcr.data.nuscenes_index import make_index
from cmcr.errors import DataError
from cmcr.evaluation.nuscenes_detection import ERRORS, RULES, NuScenesDetectionScore, labelled_boxes
from cmcr.evaluation.nuscenes_submission import DETECTION_NAMES, write_nuscenes_submission
from cmcr.results.scores import Metric

NOTHING = Detections(torch.empty(0, 7), torch.empty(0), torch.empty(0, dtype=torch.int64), torch.empty(0, 2))

CATEGORIES = {
    "barrier": "movable_object.barrier", "bicycle": "vehicle.bicycle", "bus": "vehicle.bus.rigid",
    "car": "vehicle.car", "construction_vehicle": "vehicle.construction", "motorcycle": "vehicle.motorcycle",
    "pedestrian": "human.pedestrian.adult", "traffic_cone": "movable_object.trafficcone",
    "trailer": "vehicle.trailer", "truck": "vehicle.truck",
}  # fmt: skip
#: What is given to things that stand still.
STANDING = {
    **dict.fromkeys(("car", "construction_vehicle", "trailer", "truck"), "vehicle.parked"),
    **{"bus": "vehicle.stopped", "bicycle": "cycle.without_rider", "motorcycle": "cycle.without_rider"},
    **{"pedestrian": "pedestrian.standing", "barrier": "", "traffic_cone": ""},
}


def one_of_each(**changes: Any) -> list[Thing]:
    """Ten things that stand 5 m apart, one of each class, all well within range."""
    return [
        Thing(CATEGORIES[name], 5.0, 5.0 * place - 22.5, attribute=STANDING[name])._replace(**changes)
        for place, name in enumerate(DETECTION_NAMES)
    ]


def true_boxes(index: ScanIndex, position: int) -> Boxes3D:
    record = index.records[position]
    boxes = boxes_in_lidar(read_boxes(record, index.root), lidar_pose(record))
    return boxes.select(boxes.classes > 0)


def scored(index: ScanIndex, found: Callable[[Boxes3D, int], Detections]) -> dict[tuple[str, str], Metric]:
    """Score what ``found`` makes of the true boxes of each scan."""
    score = NuScenesDetectionScore(index, index.class_names[1:])
    for position, record in enumerate(index.records):
        score.update(record.token, found(true_boxes(index, position), position))
    return {(metric.metric, metric.class_name): metric for metric in score.metrics()}


def values(metrics: dict[tuple[str, str], Metric]) -> dict[str, float | None]:
    """The numbers over all classes."""
    return {name: metric.value for (name, class_name), metric in metrics.items() if class_name == "all"}


def perfect(boxes: Boxes3D, _: int) -> Detections:
    return detections(boxes.with_points())


def test_perfect_detections_are_without_error() -> None:
    index = index_of(keyframe(0, one_of_each(), tilt=0.03), keyframe(1, [*one_of_each(), Thing("animal", 9)]))
    metrics = scored(index, perfect)
    assert list(metrics)[:7] == [(name, "all") for name in ("map", "nds", "mate", "mase", "maoe", "mave", "maae")]
    found = values(metrics)
    assert found.pop("map") == pytest.approx(100)
    assert found.pop("nds") == pytest.approx(100)
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-9)
    aps = {name: metrics["ap", name].value for name in DETECTION_NAMES}
    assert aps == pytest.approx(dict.fromkeys(DETECTION_NAMES, 100))
    assert [metrics[name, "all"].unit for name in ("map", "mate", "mase", "maoe", "mave", "maae")] == [
        "percent", "m", "share", "rad", "m/s", "share",
    ]  # fmt: skip
    assert [metric.higher_is_better for metric in metrics.values()] == [True] * 2 + [False] * 5 + [True] * 10


def changed(change: Callable[[Boxes3D], dict[str, Any]]) -> dict[str, float | None]:
    """Score what was perfect before ``change``; the LiDAR's frame is level, with x to the right of the world's x."""
    index = index_of(keyframe(0, one_of_each()))
    return values(scored(index, lambda boxes, _: detections(dataclasses.replace(boxes, **change(boxes)))))


def nds(percent: float, *errors: float) -> float:
    """The score from its definition; errors that are not given are 0."""
    return (5 * percent + 100 * (5 - sum(min(1, error) for error in errors))) / 10


def test_things_found_beside_their_place() -> None:
    found = changed(lambda boxes: {"geometry": boxes.geometry + np.array([0.3, 0.4, 9, 0, 0, 0, 0])})
    assert found["mate"] == pytest.approx(0.5)  # seen from above
    assert found["map"] == pytest.approx(75)  # right within 1, 2 and 4 m; "within 0.5 m" means less than that
    assert found["mase"] == found["maae"] == 0
    assert found["nds"] == pytest.approx(nds(75, 0.5))
    half = changed(lambda boxes: {"geometry": boxes.geometry + np.array([1.5, 0, 0, 0, 0, 0, 0])})
    assert half["map"] == pytest.approx(50)
    assert half["mate"] == pytest.approx(1.5)
    assert half["nds"] == pytest.approx(nds(50, 1.5))  # an error beyond 1 costs no more than 1


def test_things_found_too_long() -> None:
    found = changed(lambda boxes: {"geometry": boxes.geometry * np.array([1, 1, 1, 2, 1, 1, 1])})
    assert found["mase"] == pytest.approx(0.5)
    assert found["map"] == pytest.approx(100)
    assert found["nds"] == pytest.approx(nds(100, 0.5))


def test_things_found_turned() -> None:
    found = changed(lambda boxes: {"geometry": boxes.geometry + np.array([0, 0, 0, 0, 0, 0, 0.3])})
    assert found["maoe"] == pytest.approx(0.3)  # of nine classes: cones have no heading
    backwards = changed(lambda boxes: {"geometry": boxes.geometry + np.array([0, 0, 0, 0, 0, 0, np.pi])})
    assert backwards["maoe"] == pytest.approx(np.pi * 8 / 9)  # barriers have two heads
    assert backwards["nds"] == pytest.approx(nds(100, np.pi))


def test_things_found_too_fast() -> None:
    found = changed(lambda _: {"velocity": np.tile([0.3, 0.4], (10, 1))})
    assert found["mave"] == pytest.approx(0.5)
    assert found["maae"] == 1  # they seem to move
    assert found["nds"] == pytest.approx(nds(100, 0.5, 1))
    slowly = changed(lambda _: {"velocity": np.tile([0.1, 0.1], (10, 1))})
    assert slowly["maae"] == 0
    untold = changed(lambda _: {"velocity": None})
    assert untold["mave"] == untold["maae"] == 0


def test_true_velocities_that_nobody_knows_do_not_count() -> None:
    things = one_of_each()
    index = index_of(keyframe(0, [things[0], *(thing._replace(velocity=(np.nan, np.nan)) for thing in things[1:])]))
    found = values(scored(index, lambda boxes, _: detections(boxes)))
    assert found["mave"] == 1  # by the official rule, where none of a class is known
    assert found["map"] == pytest.approx(100)


@pytest.mark.parametrize("category", ["vehicle.bicycle", "vehicle.motorcycle"])
def test_cycles_in_a_rack_do_not_count(category: str) -> None:
    rack = Thing("static_object.bicycle_rack", 10, size_lwh=(3, 2, 1.5))
    inside, outside = Thing(category, 10.5, size_lwh=(1.7, 0.6, 1.2)), Thing(category, 15, size_lwh=(1.7, 0.6, 1.2))
    index = index_of(keyframe(0, [rack, inside, outside]))
    name = category.removeprefix("vehicle.")
    only = scored(index, lambda boxes, _: detections(boxes.select(np.array([1]))))
    both = scored(index, lambda boxes, _: detections(boxes))
    assert only["ap", name].value == both["ap", name].value == pytest.approx(100)
    without = scored(index_of(keyframe(0, [inside, outside])), lambda boxes, _: detections(boxes.select(np.array([1]))))
    assert without["ap", name].value == pytest.approx(100 * (50 - 10) / 90, abs=1)  # half the recall
    racked = scored(index_of(keyframe(0, [rack, inside])), perfect)
    assert racked["ap", name].value is None


def test_what_is_far_or_without_a_return_does_not_count() -> None:
    near, far = Thing("human.pedestrian.child", 39.9), Thing("human.pedestrian.child", 0, -40.1)
    empty = Thing("human.pedestrian.adult", 20, lidar_points=0)
    radar = Thing("human.pedestrian.adult", 30, lidar_points=0, radar_points=1)
    index = index_of(keyframe(0, [near, far, empty, radar]))
    every_other = scored(index, lambda boxes, _: detections(boxes.select(np.array([0, 3]))))
    assert every_other["ap", "pedestrian"].value == pytest.approx(100)
    one = scored(index, lambda boxes, _: detections(boxes.select(np.array([0]))))
    assert one["ap", "pedestrian"].value == pytest.approx(100 * (50 - 10) / 90, abs=1)


def test_classes_that_do_not_occur() -> None:
    index = index_of(keyframe(0, [Thing("vehicle.car", 10), Thing("vehicle.truck", 90)]))
    metrics = scored(index, lambda boxes, _: detections(boxes))
    assert metrics["ap", "car"].value == pytest.approx(100)
    assert metrics["ap", "truck"].value is None  # beyond 50 m
    assert metrics["ap", "bus"].reason == (
        "no labelled box of this class counts in the whole split; the official mean takes 0"
    )
    assert metrics["map", "all"].value == pytest.approx(10)
    assert metrics["mate", "all"].value == pytest.approx(0.9)
    empty = scored(index_of(keyframe(0, []), keyframe(1, [Thing("animal", 4)])), lambda *_: NOTHING)
    assert {metric.value for metric in empty.values()} == {None}
    assert empty["nds", "all"].reason == "no labelled box counts in the whole split"


def test_who_finds_nothing_scores_nothing() -> None:
    found = values(scored(index_of(keyframe(0, one_of_each()), keyframe(1, one_of_each())), lambda *_: NOTHING))
    assert found == {"map": 0, "nds": 0, "mate": 1, "mase": 1, "maoe": 1, "mave": 1, "maae": 1}


def test_random_boxes_score_nearly_nothing(toy_nuscenes: Path) -> None:
    index = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_val")

    def anywhere(_: Boxes3D, position: int) -> Detections:
        return random_detections(200, np.random.default_rng(position))

    found = values(scored(index, anywhere))
    assert found["map"] is not None
    assert found["map"] < 2
    assert found["nds"] is not None
    assert found["nds"] < 10


def random_detections(number: int, rng: np.random.Generator) -> Detections:
    low, high = [-50, -50, -3, 0.3, 0.3, 0.3, -np.pi], [50, 50, 2, 8, 3, 3, np.pi]
    boxes = Boxes3D(rng.uniform(low, high, (number, 7)), rng.integers(1, 11, number), rng.normal(size=(number, 2)))
    return detections(boxes, rng.random(number))


def imperfect(boxes: Boxes3D, position: int) -> Detections:
    """Most of the true boxes, a little wrong, some of another class, and boxes of nothing; some scores are equal."""
    rng = np.random.default_rng(position)
    boxes = boxes.select(rng.random(len(boxes)) < 0.8)
    number = len(boxes)
    geometry = boxes.geometry + rng.normal(size=(number, 7)) * [0.5, 0.5, 0.2, 0, 0, 0, 0.3]
    geometry[:, 3:6] *= rng.uniform(0.8, 1.25, (number, 3))
    assert boxes.velocity is not None
    velocity = np.nan_to_num(boxes.velocity) + rng.normal(size=(number, 2)) * 0.2
    classes = np.where(rng.random(number) < 0.1, rng.integers(1, 11, number), boxes.classes)
    true = detections(Boxes3D(geometry, classes, velocity), np.round(rng.uniform(0.3, 1, number), 2))
    false = random_detections(30, rng)
    parts = [torch.cat([a, b]) for a, b in zip(true, false, strict=True) if a is not None and b is not None]
    return Detections(*parts)


@pytest.mark.parametrize("split", ["mini_train", "mini_val"])
def test_labels_from_the_index_are_those_that_the_devkit_loads(toy_nuscenes: Path, split: str) -> None:
    index = make_index("toy", toy_nuscenes, "v1.0-mini", split)
    nusc = NuScenes("v1.0-mini", str(toy_nuscenes), verbose=False)
    official = load_gt(nusc, split, DetectionBox)
    mine = labelled_boxes((record, read_boxes(record, index.root)) for record in index.records)
    assert set(mine.sample_tokens) == set(official.sample_tokens)
    for token in official.sample_tokens:
        assert len(mine[token]) == len(official[token]) > 20
        for box, other in zip(mine[token], official[token], strict=True):
            for name in ("sample_token", "num_pts", "detection_name", "detection_score", "attribute_name"):
                assert getattr(box, name) == getattr(other, name)
            for name in ("translation", "size", "rotation", "velocity"):
                np.testing.assert_allclose(getattr(box, name), getattr(other, name), atol=1e-9)


@pytest.mark.parametrize("split", ["mini_train", "mini_val"])
def test_the_official_numbers(
    toy_nuscenes: Path, tmp_path: Path, split: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole official way, from the tables and a submission file, gives the same."""
    index = make_index("toy", toy_nuscenes, "v1.0-mini", split)
    found = {record.token: imperfect(true_boxes(index, place), place) for place, record in enumerate(index.records)}
    capfd.readouterr()
    metrics = scored(index, lambda _, position: found[index.records[position].token])
    assert capfd.readouterr() == ("", "")
    path = tmp_path / "found.json"
    write_nuscenes_submission(path, index, found, index.class_names[1:])
    nusc = NuScenes("v1.0-mini", str(toy_nuscenes), verbose=False)
    output = tmp_path / "official"
    official = DetectionEval(nusc, config_factory(RULES), str(path), split, str(output), verbose=False).main(0, False)
    assert 0.2 < official["mean_ap"] < 0.9
    assert metrics["map", "all"].value == pytest.approx(100 * official["mean_ap"], abs=1e-7)
    assert metrics["nds", "all"].value == pytest.approx(100 * official["nd_score"], abs=1e-7)
    for error, (name, _) in ERRORS.items():
        assert official["tp_errors"][error] > 0.01
        assert metrics[name, "all"].value == pytest.approx(official["tp_errors"][error], abs=1e-9)
    present = {box.detection_name for token in index.records for box in _official_labels(nusc, token.sample)}
    for name in DETECTION_NAMES:
        if name in present:
            assert metrics["ap", name].value == pytest.approx(100 * official["mean_dist_aps"][name], abs=1e-7)
        else:
            assert metrics["ap", name].value is None
            assert official["mean_dist_aps"][name] == 0


def _official_labels(nusc: NuScenes, sample: str | None) -> list[DetectionBox]:
    from nuscenes.eval.common.loaders import load_gt_of_sample_tokens

    assert sample is not None
    loaded = add_center_dist(nusc, load_gt_of_sample_tokens(nusc, [sample], DetectionBox))
    return filter_eval_boxes(nusc, loaded, config_factory(RULES).class_range)[sample]


def test_a_split_is_scored_as_a_whole_and_once() -> None:
    index = index_of(keyframe(0, one_of_each()), keyframe(1, one_of_each()))
    score = NuScenesDetectionScore(index)
    score.update("sweep0", NOTHING)
    with pytest.raises(ValueError, match="1 of 2 scans of val were not counted, the first is sweep1"):
        score.metrics()
    with pytest.raises(ValueError, match="sweep0 is counted twice"):
        score.update("sweep0", NOTHING)


def test_without_labels_nothing_is_scored() -> None:
    index = index_of(keyframe(0, None))
    with pytest.raises(DataError, match=f"^{index.root}: sweep0 of scene has no boxes"):
        NuScenesDetectionScore(index).update("sweep0", NOTHING)
