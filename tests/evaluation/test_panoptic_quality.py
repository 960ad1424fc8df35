from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cmcr.evaluation.panoptic_quality import PanopticQuality


def test_the_official_numbers(shared: Path) -> None:
    fixture = np.load(shared / "fixtures" / "panoptic_quality.npz")
    counted = PanopticQuality(int(fixture["num_classes"]), fixture["things"].tolist(), int(fixture["min_points"]))
    for frame in range(int(fixture["num_frames"])):
        prediction, label = (
            [fixture[f"frame{frame}/{which}_{part}"] for part in ("semantic", "instance")] for which in ("pred", "gt")
        )
        prediction[0][label[0] == 0] = 1  # no place there counts; the fixture predicts the ignored class at some
        counted.update(*prediction, *label)
    for name, mine in zip(("PQ", "SQ", "RQ", "mIoU"), counted.quality, strict=True):
        by_class = f"{name.removeprefix('m')}_class"
        assert np.nanmean(mine) == pytest.approx(float(fixture[name]), abs=1e-6)
        np.testing.assert_allclose(mine[1:], fixture[by_class][1:], atol=1e-6)
        assert np.isnan(mine[0])
    assert sorted(np.flatnonzero(counted.stuff)) == fixture["stuff"].tolist()


def test_a_case_counted_by_hand() -> None:
    # Class 1 is a thing, 2 is stuff, 3 does not occur. Five points make a segment that counts.
    # Thing 1: found with 6 of 8 points and one of the road. Thing 2 (5 points): missed. Thing 3 (4 points): too small.
    true_classes = np.array([1] * 8 + [1] * 5 + [1] * 4 + [2] * 11)
    true_instances = np.array([1] * 8 + [2] * 5 + [3] * 4 + [0] * 11)
    classes = np.array([1] * 6 + [2] * 2 + [2] * 5 + [2] * 4 + [1] * 1 + [2] * 10)
    instances = np.where(classes == 1, 9, 0)
    counted = PanopticQuality(4, [1], 5)
    counted.update(classes, instances, true_classes, true_instances)
    quality = counted.quality
    assert quality.sq[1] == pytest.approx(6 / 9)
    assert quality.rq[1] == pytest.approx(1 / (1 + 0.5))
    assert quality.pq[1] == pytest.approx(6 / 9 / 1.5)
    assert quality.iou[1] == pytest.approx(6 / (17 + 7 - 6))
    # The road: 10 of 11 points, among 21 that are called road. No more than half, so both sides are left over.
    assert (quality.sq[2], quality.rq[2], quality.iou[2]) == (0, 0, pytest.approx(10 / 22))
    assert quality.pq[3] == quality.iou[3] == 0  # the official rule for a class that does not occur
    assert counted.pq_dagger() == pytest.approx((6 / 9 / 1.5 + 10 / 22 + 0) / 3)


def slowly(
    prediction: list[tuple[int, int]], label: list[tuple[int, int]], min_points: int, number: int
) -> tuple[float, float]:
    """SQ and RQ of one class, from the definition, over sets of points."""

    def segments(pairs: list[tuple[int, int]]) -> list[set[int]]:
        counts = [place for place, (true, _) in enumerate(label) if true != 0]
        found = {pairs[place] for place in counts if pairs[place][0] == number}
        return [{place for place in counts if pairs[place] == segment} for segment in sorted(found)]

    ours, theirs = segments(prediction), segments(label)
    matched = [(a, b) for a, b in product(ours, theirs) if len(a & b) / len(a | b) > 0.5]
    hits = [len(a & b) / len(a | b) for a, b in matched]
    extra = sum(len(a) >= min_points and all(a is not other for other, _ in matched) for a in ours)
    missed = sum(len(b) >= min_points and all(b is not other for _, other in matched) for b in theirs)
    weight = len(hits) + extra / 2 + missed / 2
    return sum(hits) / max(len(hits), 1), len(hits) / weight if weight else 0.0


@settings(max_examples=60, deadline=None)
@given(data=st.data(), min_points=st.integers(1, 4))
def test_equal_to_a_slow_count_from_the_definition(data: st.DataObject, min_points: int) -> None:
    points = data.draw(st.integers(1, 25))
    draw = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3)), min_size=points, max_size=points)
    prediction = data.draw(draw)
    label = [(0, 0) if data.draw(st.booleans()) and data.draw(st.booleans()) else pair for pair in data.draw(draw)]
    # Most points agree, or nothing would ever match.
    prediction = [
        own if true[0] == 0 or data.draw(st.booleans()) else true for own, true in zip(prediction, label, strict=True)
    ]
    counted = PanopticQuality(3, [1], min_points)
    counted.update(*np.array(prediction).T, *np.array(label).T)
    for number in (1, 2):
        sq, rq = slowly(prediction, label, min_points, number)
        assert counted.quality.sq[number] == pytest.approx(sq)
        assert counted.quality.rq[number] == pytest.approx(rq)


def test_scans_are_counted_one_by_one_and_later_ones_are_not_forgotten() -> None:
    counted = PanopticQuality(2, [1], 1)
    ones = np.ones(4, dtype=np.int64)
    counted.update(ones, ones, ones, ones)
    assert counted.quality.pq[1] == 1
    counted.update(ones, ones, ones, np.array([1, 1, 2, 2]))  # the same number in another scan is another segment
    assert counted.quality.rq[1] == pytest.approx(1 / (1 + 0.5 + 1))


def test_the_largest_instance_is_told_apart_from_others() -> None:
    counted = PanopticQuality(2, [1], 1)
    ones = np.ones(4, dtype=np.int64)
    counted.update(ones, np.array([0, 0, 1, 2**31 - 2]), ones, np.array([2**31 - 2, 2**31 - 2, 1, 0]))
    assert counted.counts.reshape(4, 2)[:, 1].tolist() == [3, 3, 0, 0]


def arrays(**changes: list[int]) -> list[NDArray[np.int64]]:
    fields = {"classes": [1, 1], "instances": [0, 1], "true_classes": [1, 0], "true_instances": [1, 0], **changes}
    return [np.array(values, dtype=np.int64) for values in fields.values()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": [1]}, "one length"),
        ({"classes": [1, 3]}, r"class in 0\.\.2, found 1\.\.3"),
        ({"classes": [0, 0]}, "2 of 2 points are predicted as the ignored class"),
        ({"true_classes": [1, 3]}, r"every true class in 0\.\.2, found 1\.\.3"),
        ({"true_instances": [-1, 0]}, r"every true instance in 0\.\."),
        ({"instances": [2**31 - 1, 0]}, rf"every instance in 0\.\.{2**31 - 2}, found 0\.\.{2**31 - 1}"),
    ],
)
def test_what_cannot_be_counted_is_refused(change: dict[str, list[int]], message: str) -> None:
    counted = PanopticQuality(3, [1], 1)
    counted.update(*arrays())
    with pytest.raises(ValueError, match=message):
        counted.update(*arrays(**change))
