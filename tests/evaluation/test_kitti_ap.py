from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cmcr.data.kitti_labels import KittiObjects
from cmcr.evaluation.kitti_ap import DIFFICULTIES, MEASURES, AveragePrecision, average_precisions


def objects(*rows: tuple, scored: bool = False) -> KittiObjects:
    """Build objects from (type, occlusion, left, height in pixels, z) and, if scored, a score.

    All are cars' boxes 4 m long, 20 pixels wide, without truncation; x follows ``left`` at a metre for ten pixels.
    """
    number = len(rows)
    left, high, z = (np.array([row[place] for row in rows], dtype=np.float64) for place in (2, 3, 4))
    return KittiObjects(
        name=np.array([row[0] for row in rows], dtype=np.str_),
        truncation=np.zeros(number),
        occlusion=np.array([row[1] for row in rows], dtype=np.int64),
        alpha=np.zeros(number),
        image_box=np.column_stack([left, np.full(number, 100), left + 20, 100 + high]).reshape(number, 4),
        size=np.tile([1.5, 2.0, 4.0], (number, 1)).reshape(number, 3),
        location=np.column_stack([left / 10, np.full(number, 1.7), z]).reshape(number, 3),
        rotation_y=np.zeros(number),
        score=np.array([row[5] for row in rows], dtype=np.float64) if scored else None,
    )


def table(labels: list[KittiObjects], results: list[KittiObjects]) -> dict[tuple[str, str, str], AveragePrecision]:
    return {entry[:3]: entry for entry in average_precisions(labels, results)}


def official(data: dict[str, np.ndarray], frame: int, scored: bool) -> KittiObjects:
    found = {name: data[f"{'dt' if scored else 'gt'}/{frame}/{name}"] for name in _STORED}
    score = data[f"dt/{frame}/score"] if scored else None
    return KittiObjects(
        name=found["name"],
        truncation=found["truncated"],
        occlusion=found["occluded"].astype(np.int64),
        alpha=found["alpha"],
        image_box=found["bbox"].reshape(-1, 4),
        size=found["dimensions"].reshape(-1, 3)[:, [1, 2, 0]],  # stored as length, height, width
        location=found["location"].reshape(-1, 3),
        rotation_y=found["rotation_y"],
        score=score,
    )


_STORED = ("name", "truncated", "occluded", "alpha", "bbox", "dimensions", "location", "rotation_y")


def test_equals_the_official_numbers(shared: Path) -> None:
    data = dict(np.load(shared / "fixtures" / "kitti_ap.npz"))
    frames = range(int(data["num_frames"]))
    found = table([official(data, n, False) for n in frames], [official(data, n, True) for n in frames])
    expected = {name: float(value) for name, value in data.items() if name.startswith("expected/")}
    assert len(expected) == 3 * len(MEASURES) * len(DIFFICULTIES)
    for name, value in expected.items():
        class_name, measure = name.split("/")[1].split("_")
        difficulty, points = name.split("/")[2].split("_")
        assert points == "R40"
        assert found[class_name, measure, difficulty].at_40 == pytest.approx(value, abs=1e-3), name


def test_perfect_detections_of_many_objects_score_100() -> None:
    labels = objects(*(("Car", 0, 50 * n, 60, 10) for n in range(50)))
    results = dataclasses.replace(labels, score=np.linspace(0.9, 0.1, 50))
    for measure in MEASURES:
        entry = table([labels], [results])["Car", measure, "easy"]
        assert entry.at_40 == pytest.approx(100)
        assert entry.at_11 == pytest.approx(100)


def test_half_found_by_hand() -> None:
    # 40 cars; the 20 best detections are right, 20 more are wrong. Recall ends at 1/2 with precision 1. Thresholds are
    # the scores of ranks 1 (recall 0 and 1/40 lie nearest to it), 2, ..., 20: places 0 to 19 of 41 hold 1.
    labels = objects(*(("Car", 0, 50 * n, 60, 10) for n in range(40)))
    right = [("Car", 0, 50 * n, 60, 10, 1 - n / 100) for n in range(20)]
    wrong = [("Car", 0, 50 * n + 25, 60, 40, 0.5 - n / 100) for n in range(20)]
    entry = table([labels], [objects(*right, *wrong, scored=True)])["Car", "3d", "easy"]
    assert entry.at_40 == pytest.approx(100 * 19 / 40)
    assert entry.at_11 == pytest.approx(100 * 5 / 11)  # places 0, 4, 8, 12, 16


def test_a_wrong_one_above_all_others_by_hand() -> None:
    labels = objects(("Car", 0, 0, 60, 10))
    results = objects(("Car", 0, 0, 60, 10, 0.5), ("Car", 0, 200, 60, 10, 0.9), scored=True)
    entry = table([labels], [results])["Car", "bev", "easy"]
    # One threshold, so precision 1/2 at recall 0 only: the rule of 40 points leaves recall 0 out.
    assert entry.at_40 == 0
    assert entry.at_11 == pytest.approx(100 * 0.5 / 11)


def at_recall_zero(labels: KittiObjects, results: KittiObjects, measure: str = "image", level: str = "easy") -> float:
    """Return the precision at the one threshold that there is."""
    return table([labels], [results])["Car", measure, level].at_11 * 11 / 100


def test_what_is_alike_small_or_in_a_region_is_not_wrong() -> None:
    car, hit = ("Car", 0, 0, 60, 10), ("Car", 0, 0, 60, 10, 0.5)
    van, on_van = ("Van", 0, 200, 60, 10), ("Car", 0, 200, 60, 10, 0.9)
    assert at_recall_zero(objects(car), objects(hit, on_van, scored=True)) == pytest.approx(1 / 2)
    assert at_recall_zero(objects(car, van), objects(hit, on_van, scored=True)) == pytest.approx(1)
    truck = ("Truck", 0, 200, 60, 10)
    assert at_recall_zero(objects(car, truck), objects(hit, on_van, scored=True)) == pytest.approx(1 / 2)
    region = ("DontCare", -1, 200, 60, -1000)
    assert at_recall_zero(objects(car, region), objects(hit, on_van, scored=True)) == pytest.approx(1)
    # A region has no place in space.
    assert at_recall_zero(objects(car, region), objects(hit, on_van, scored=True), "3d") == pytest.approx(1 / 2)
    small = ("Car", 0, 200, 30, 10, 0.9)
    assert at_recall_zero(objects(car), objects(hit, small, scored=True)) == pytest.approx(1)
    assert at_recall_zero(objects(car), objects(hit, small, scored=True), level="moderate") == pytest.approx(1 / 2)
    hidden = ("Car", 1, 200, 60, 10)  # occluded: ignored at easy, counted at moderate
    assert at_recall_zero(objects(car, hidden), objects(hit, on_van, scored=True)) == pytest.approx(1)


def test_a_second_detection_of_the_same_object_is_wrong() -> None:
    labels = objects(("Car", 0, 0, 60, 10))
    results = objects(("Car", 0, 0, 60, 10, 0.5), ("Car", 0, 0, 60, 10.1, 0.9), scored=True)
    # The object is found at 0.9; at that score the worse box is alone, and right.
    assert at_recall_zero(labels, results, "3d") == pytest.approx(1)
    results = objects(("Car", 0, 0, 60, 10, 0.9), ("Car", 0, 0, 60, 10.1, 0.9), scored=True)
    assert at_recall_zero(labels, results, "3d") == pytest.approx(1 / 2)


def test_orientation_counts_by_its_cosine() -> None:
    labels = objects(("Car", 0, 0, 60, 10))
    results = dataclasses.replace(objects(("Car", 0, 0, 60, 10, 0.9), scored=True), alpha=np.array([np.pi / 3]))
    assert at_recall_zero(labels, results, "image") == pytest.approx(1)
    assert at_recall_zero(labels, results, "aos") == pytest.approx(0.75)


def test_frames_without_anything() -> None:
    none, nothing = objects(), objects(scored=True)
    assert np.isnan(table([none], [nothing])["Car", "3d", "easy"].at_40)
    car = objects(("Car", 0, 0, 60, 10))
    assert table([car, none], [nothing, nothing])["Car", "3d", "easy"].at_11 == 0
    assert np.isnan(table([car], [nothing])["Cyclist", "3d", "easy"].at_40)


def test_refuses_what_it_cannot_score() -> None:
    labels = objects(("Car", 0, 0, 60, 10))
    with pytest.raises(ValueError, match="2 frames, found 1"):
        average_precisions([labels, labels], [objects(scored=True)])
    with pytest.raises(ValueError, match="without scores"):
        average_precisions([labels], [labels])
    with pytest.raises(ValueError, match="Tram"):
        average_precisions([labels], [objects(scored=True)], ["Tram"])
