"""Detections against labels, in KITTI's way, from a split's index alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index
from cmcr.data.kitti_labels import KittiObjects
from cmcr.evaluation.kitti_ap import average_precisions
from cmcr.evaluation.kitti_detection import KittiDetectionScore, detected_objects
from cmcr.results.scores import Metric

CLASSES = ("Car", "Pedestrian", "Cyclist")


@pytest.fixture
def index(toy_kitti: Path) -> ScanIndex:
    return make_index("toy_kitti", toy_kitti, "training", "trainval")


def truth(index: ScanIndex, position: int) -> Detections:
    boxes = index.read(position).boxes
    assert boxes is not None
    mine = boxes.select(boxes.classes > 0)
    scores = torch.linspace(0.9, 0.5, len(mine))
    return Detections(torch.from_numpy(mine.geometry), scores, torch.from_numpy(mine.classes))


def by_name(metrics: list[Metric]) -> dict[tuple[str, str], float | None]:
    return {(metric.metric, metric.class_name): metric.value for metric in metrics}


def test_the_truth_scores_everything_and_nothing_scores_nothing(index: ScanIndex) -> None:
    whole, none = (KittiDetectionScore(index, CLASSES) for _ in range(2))
    # Over again, because even a perfect precision stays low where there are fewer objects than recall points.
    for _ in range(20):
        for position, record in enumerate(index.records):
            found = truth(index, position)
            whole.update(record.token, found)
            none.update(record.token, Detections(*(part[:0] for part in found[:3])))  # type: ignore[index]
    found, lost = by_name(whole.metrics()), by_name(none.metrics())
    assert next(iter(found)) == ("map", "all")
    assert found["ap_3d_hard", "Pedestrian"] == pytest.approx(100)
    for (name, kind), value in found.items():
        # Where the last point is not reached, it is one of 40, or one of 11.
        assert value is None or value > (90 if name.endswith("_at_11") else 97)
        assert (value is None) == (lost[name, kind] is None)
    assert {value for value in lost.values() if value is not None} == {0.0}


def test_means_are_over_the_classes_that_have_a_number(index: ScanIndex) -> None:
    score = KittiDetectionScore(index, CLASSES)
    for position, record in enumerate(index.records):
        score.update(record.token, truth(index, position))
    metrics = score.metrics()
    found, reasons = by_name(metrics), {m.metric: m.reason for m in metrics if m.value is None}
    for measure in ("ap_3d_hard", "ap_bev_moderate", "aos_easy"):
        known = [found[measure, name] for name in CLASSES if found[measure, name] is not None]
        mean = found[measure, "all"]
        assert mean is None if not known else mean == pytest.approx(np.mean(known))  # type: ignore[arg-type]
    assert [found["ap", name] for name in CLASSES] == [found["ap_3d_moderate", name] for name in CLASSES]
    assert [found[f"ap_{name.lower()}", "all"] for name in CLASSES] == [found["ap", name] for name in CLASSES]
    assert found["map", "all"] == found["ap_3d_moderate", "all"]
    table = average_precisions(score.labels, score.results, CLASSES)
    at_11 = {e.class_name: e.at_11 for e in table if (e.measure, e.difficulty) == ("bev", "easy")}
    for name, expected in at_11.items():
        assert found["ap_bev_easy_at_11", name] == (None if np.isnan(expected) else expected)
    assert set(reasons.values()) <= {"no object of this difficulty in the whole split"}


def some_cars(rng: np.random.Generator, noise: float) -> KittiObjects:
    """Cars of any difficulty in a row, each at its place but for the noise."""
    left, far = 50.0 * np.arange(60), 5.0 * np.arange(60)
    high, number = np.tile([30, 50], 30), 60
    shift = noise * rng.normal(size=(4, number))
    return KittiObjects(
        name=np.full(number, "Car"),
        truncation=np.zeros(number),
        occlusion=np.arange(number) % 3,
        alpha=shift[0],
        image_box=np.column_stack([left + 9 * shift[1], np.full(number, 100), left + 9 * shift[1] + 40, 100 + high]),
        size=np.tile([1.5, 1.6, 4.0], (number, 1)),
        location=np.column_stack([far + 0.4 * shift[2], 1.7 + 0.4 * shift[3], np.full(number, 10.0)]),
        rotation_y=np.zeros(number),
        score=rng.random(number) if noise else None,
    )


@pytest.mark.filterwarnings("error")  # a mean over nothing is decided here and not left to numpy
def test_every_number_has_its_place() -> None:
    rng = np.random.default_rng(4)
    nothing = ScanIndex("k", "kitti", Path("nowhere"), "val", "training", ("none", "Car", "Cyclist"), (1, 2), ())
    score = KittiDetectionScore(nothing, ("Car", "Cyclist"))
    score.labels.append(some_cars(rng, 0.0))
    score.results.append(some_cars(rng, 0.6))
    table = {
        (entry.measure, entry.difficulty): entry
        for entry in average_precisions(score.labels, score.results)
        if entry.class_name == "Car"
    }
    moderate = table["3d", "moderate"].at_40
    expected = [("map", "all", moderate), ("ap_car", "all", moderate), ("ap_cyclist", "all", None)]
    expected += [("ap", "Car", moderate), ("ap", "Cyclist", None)]
    for ending in ("", "_at_11"):
        for (measure, difficulty), entry in table.items():
            name = f"{'aos' if measure == 'aos' else f'ap_{measure}'}_{difficulty}{ending}"
            value = entry.at_11 if ending else entry.at_40
            expected += [(name, "all", value), (name, "Car", value), (name, "Cyclist", None)]
    metrics = score.metrics()
    assert [(metric.metric, metric.class_name, metric.value) for metric in metrics] == expected
    numbers = {value for *_, value in expected if value is not None}
    assert len(numbers) == 24  # no two of the table are alike, or one could stand for another
    assert all(0 < number < 100 for number in numbers)
    assert {(metric.unit, metric.higher_is_better) for metric in metrics} == {("percent", True)}
    score.classes = ("Cyclist",)
    assert {metric.value for metric in score.metrics()} == {None}


def test_boxes_behind_the_camera_are_no_detections(index: ScanIndex) -> None:
    ahead, behind = [12.0, 0, -0.9, 4, 1.8, 1.5, 0], [-12.0, 0, -0.9, 4, 1.8, 1.5, 0]
    found = Detections(torch.tensor([behind, ahead]), torch.tensor([0.9, 0.4]), torch.tensor([1, 1]))
    objects = detected_objects(index, index.records[0], found)
    assert objects.name.tolist() == ["Car"]
    assert objects.score is not None
    assert objects.score.tolist() == pytest.approx([0.4])
    assert objects.location[0, 2] == pytest.approx(12, abs=1)
