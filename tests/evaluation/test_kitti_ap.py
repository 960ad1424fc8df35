from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cmcr.data.kitti_labels import KittiObjects
from cmcr.evaluation.kitti_ap import DIFFICULTIES, MEASURES, MIN_OVERLAP, AveragePrecision, average_precisions


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


def kit_image_precision(
    labels: list[KittiObjects], results: list[KittiObjects], name: str, level: str, by_angle: bool
) -> list[float]:
    """The 41 precisions of 2D boxes in the order of the kit's evaluate_object.cpp, box by box; none without objects."""
    least_px, occlusion, truncation = DIFFICULTIES[level]
    minimum, neighbour = MIN_OVERLAP[name], {"Car": "Van", "Pedestrian": "Person_sitting"}.get(name)
    # cleanData: the rows of what takes part, with 0 for what counts and 1 for what is ignored.
    frames, number = [], 0
    for label, result in zip(labels, results, strict=True):
        true, found = [], []
        for n, (_, top, _, bottom) in enumerate(label.image_box.tolist()):
            hard = bottom - top <= least_px or label.occlusion[n] > occlusion or label.truncation[n] > truncation
            if label.name[n] in (name, neighbour):
                true.append((n, int(hard or label.name[n] == neighbour)))
        for n, (_, top, _, bottom) in enumerate(result.image_box.tolist()):
            if abs(bottom - top) < least_px or result.name[n] == name:
                found.append((n, int(abs(bottom - top) < least_px)))
        frames.append((label, result, true, found))
        number += sum(not ignored for _, ignored in true)
    if not number:
        return []

    def shared(a: np.ndarray, b: np.ndarray) -> float:
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        return wide * high if wide > 0 and high > 0 else 0.0

    def area(a: np.ndarray) -> float:
        return (a[2] - a[0]) * (a[3] - a[1])

    def statistics(frame: tuple, least: float | None) -> tuple[list[float], int, float]:
        """computeStatistics: scores of the right ones, number of the wrong ones, summed likeness of the right ones.

        Without a least score, objects choose by score, as they do to find the thresholds.
        """
        label, result, true, found = frame
        assigned, right, likeness = set(), [], 0.0
        for n, ignored in true:
            chosen, best, chosen_aside = None, -1e9, False
            for m, aside in found:
                if m in assigned or (least is not None and result.score[m] < least):
                    continue
                a, b = result.image_box[m], label.image_box[n]
                both = shared(a, b)
                overlap = both / (area(a) + area(b) - both) if both > 0 else 0.0
                if overlap <= minimum:
                    continue
                if least is None:
                    if result.score[m] > best:
                        chosen, best, chosen_aside = m, result.score[m], bool(aside)
                elif (overlap > best or chosen_aside) and not aside:
                    chosen, best, chosen_aside = m, overlap, False
                elif chosen is None and aside:
                    chosen, chosen_aside = m, True
            if chosen is not None:
                assigned.add(chosen)
                if not ignored and not chosen_aside:
                    right.append(float(result.score[chosen]))
                    likeness += (1 + np.cos(label.alpha[n] - result.alpha[chosen])) / 2
        wrong = 0
        for m, aside in found:
            if m in assigned or aside or (least is not None and result.score[m] < least):
                continue
            regions = [label.image_box[n] for n in np.flatnonzero(label.name == "DontCare")]
            a = result.image_box[m]
            in_region = any(shared(a, b) > 0 and shared(a, b) / area(a) > minimum for b in regions)
            wrong += not in_region
        return right, wrong, likeness

    scores = sorted((score for frame in frames for score in statistics(frame, None)[0]), reverse=True)
    precision, recall = [], 0.0
    for n, score in enumerate(scores):  # getThresholds
        last = n == len(scores) - 1
        here, after = (n + 1) / number, (n + 1) / number if last else (n + 2) / number
        if after - recall < recall - here and not last:
            continue
        recall += 1 / 40
        rows = [statistics(frame, score) for frame in frames]
        right, wrong, likeness = (sum(part) for part in zip(*((len(r), w, s) for r, w, s in rows), strict=True))
        precision.append((likeness if by_angle else right) / (right + wrong) if right + wrong else 0.0)
    precision += [0.0] * (41 - len(precision))
    return [max(precision[n:]) for n in range(41)]


def random_frame(rng: np.random.Generator) -> tuple[KittiObjects, KittiObjects]:
    """Boxes of few places and sizes, so that many overlap, and by just the least that counts: 28 of 40, 30 of 60."""
    kinds = ["Car", "Car", "Van", "Pedestrian", "Pedestrian", "Person_sitting", "Cyclist", "DontCare"]

    def boxes(name: np.ndarray, left: np.ndarray, wide: np.ndarray) -> KittiObjects:
        number = len(name)
        high = rng.choice([20, 25, 28, 30, 40, 42, 60], number)
        return dataclasses.replace(
            objects(*[("Car", 0, 0, 0, 10)] * number),
            name=name,
            occlusion=rng.integers(4, size=number),
            truncation=rng.choice([0, 0.15, 0.3, 0.5, 0.6], number),
            alpha=rng.uniform(-np.pi, np.pi, number),
            image_box=np.column_stack([left, np.full(number, 100), left + wide, 100 + high]).astype(np.float64),
        )

    number = int(rng.integers(1, 7))
    left, wide = rng.choice([0, 5, 30], number), rng.choice([0, 0.01, 1, 20, 20, 20], number)
    label = boxes(rng.choice(kinds, number), left, wide)
    # Most detections are at the place of an object, or of a region.
    at = rng.integers(number, size=rng.integers(9))
    name = np.where(np.isin(label.name[at], ["Car", "Pedestrian", "Cyclist"]), label.name[at], rng.choice(kinds[:5]))
    result = boxes(name, np.where(rng.random(len(at)) < 0.8, left[at], 10), wide[at])
    return label, dataclasses.replace(result, score=rng.integers(1, 9, len(at)) / 10)


@pytest.mark.filterwarnings("error")  # of boxes without an area
@pytest.mark.parametrize("seed", range(20))
def test_equals_a_slow_count_in_the_order_of_the_kit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, results = (list(side) for side in zip(*(random_frame(rng) for _ in range(8)), strict=True))
    found = table(labels, results)
    for name in ("Car", "Pedestrian", "Cyclist"):
        for level in DIFFICULTIES:
            for measure in ("image", "aos"):
                precision = kit_image_precision(labels, results, name, level, measure == "aos")
                entry = found[name, measure, level]
                expected = [100 * np.mean(precision[1:]), 100 * np.mean(precision[::4])] if precision else [np.nan] * 2
                assert [entry.at_40, entry.at_11] == pytest.approx(expected, nan_ok=True), (name, measure, level)


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


def test_of_two_recalls_equally_near_the_lower_is_taken_by_hand() -> None:
    # 60 cars, all found, and a wrong one between the 7th and 8th. A recall of 5/40 is as near to 7/60 as to 8/60; so
    # six thresholds, for 0 to 5/40, lie above the wrong one, and the others reach a precision of 60/61.
    labels = objects(*(("Car", 0, 50 * n, 60, 10) for n in range(60)))
    right = [("Car", 0, 50 * n, 60, 10, 1 - n / 100) for n in range(60)]
    entry = table([labels], [objects(*right, ("Car", 0, 25, 60, 40, 0.935), scored=True)])["Car", "image", "easy"]
    assert entry.at_40 == pytest.approx(100 * (5 + 35 * 60 / 61) / 40)


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


def test_boxes_in_space_stand_on_what_their_location_names() -> None:
    # 1.5 m high, and 2 m from 0.1 m above the ground: they share 1.4 of 2.1 m, too little; from the ground 1.5 of 2.
    labels, result = objects(("Car", 0, 0, 60, 10)), objects(("Car", 0, 0, 60, 10, 0.9), scored=True)
    for lift, right in ((0.1, 0), (0.0, 1)):
        high = dataclasses.replace(result, size=np.array([[2.0, 2, 4]]), location=result.location - [0, lift, 0])
        assert at_recall_zero(labels, high, "3d") == pytest.approx(right)
        assert at_recall_zero(labels, high, "bev") == pytest.approx(1)


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
