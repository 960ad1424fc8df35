"""Detections against labels, in KITTI's way, from a split's index alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index
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


def test_boxes_behind_the_camera_are_no_detections(index: ScanIndex) -> None:
    ahead, behind = [12.0, 0, -0.9, 4, 1.8, 1.5, 0], [-12.0, 0, -0.9, 4, 1.8, 1.5, 0]
    found = Detections(torch.tensor([behind, ahead]), torch.tensor([0.9, 0.4]), torch.tensor([1, 1]))
    objects = detected_objects(index, index.records[0], found)
    assert objects.name.tolist() == ["Car"]
    assert objects.score is not None
    assert objects.score.tolist() == pytest.approx([0.4])
    assert objects.location[0, 2] == pytest.approx(12, abs=1)
