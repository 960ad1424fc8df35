from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.evaluation.frame_counts import METRIC_OF_SUMS, iou_counts, miou_of, pq_of
from cmcr.evaluation.iou import Confusion
from cmcr.evaluation.panoptic_quality import PanopticQuality


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 5))
def test_sums_over_scans_give_the_miou_of_all_their_points(seed: int, classes: int, scans: int) -> None:
    rng = np.random.default_rng(seed)
    together, counts = Confusion(classes), []
    for _ in range(scans):
        points = rng.integers(0, 20)
        prediction, label = rng.integers(1, classes, points), rng.integers(0, classes, points)
        alone = Confusion(classes)
        for confusion in (alone, together):
            confusion.update(prediction, label)
        counts.append(iou_counts(alone.counts))
    assert miou_of(np.sum(counts, axis=0, dtype=np.float64)) == pytest.approx(100 * together.miou(), nan_ok=True)


def test_several_samples_at_once_are_scored_each() -> None:
    one, two = (np.array([[0, 0, 0], [0, 3, 1], [0, 2, 4]]), np.array([[0, 0, 0], [0, 5, 0], [0, 0, 0]]))
    both = miou_of(np.stack([iou_counts(one), iou_counts(two)]).astype(np.float64))
    assert both == pytest.approx([100 * (3 / 6 + 4 / 7) / 2, 100.0])


@pytest.mark.filterwarnings("error")  # 0 / 0 is decided here and not left to numpy
def test_several_samples_at_once_have_the_panoptic_quality_of_each() -> None:
    # By class: IoU of matches, matches, wrong, missed. The first is ignored; a class without a segment has quality 0.
    one = np.array([[9, 1.2, 0], [9, 2, 0], [9, 1, 0], [9, 1, 0]])
    two = np.array([[9, 0, 0.9], [9, 0, 1], [9, 1, 0], [9, 0, 0]])
    found = pq_of(np.stack([one.ravel(), two.ravel()]))
    assert found == pytest.approx([100 * (1.2 / 3 + 0) / 2, 100 * (0 + 0.9) / 2])


@pytest.mark.filterwarnings("error")
def test_without_a_class_there_is_no_miou() -> None:
    nothing, one = np.zeros((3, 3), dtype=np.int64), np.diag([0, 0, 1])
    assert miou_of(np.stack([iou_counts(nothing), iou_counts(one)])) == pytest.approx([np.nan, 100], nan_ok=True)


def test_what_is_more_than_sums_is_its_own_headline() -> None:
    assert METRIC_OF_SUMS["detection"](np.array([[3.5], [7.0]])).tolist() == [3.5, 7.0]


def test_sums_over_scans_give_the_panoptic_quality_of_all_of_them() -> None:
    rng = np.random.default_rng(0)
    quality, counts = PanopticQuality(4, things=[1, 2], min_points=2), []
    for _ in range(5):
        labels, instances = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
        noise = rng.random(60) < 0.2
        before = quality.counts
        quality.update(np.where(noise, 1, np.maximum(labels, 1)), instances, labels, instances)
        counts.append(quality.counts - before)
    assert pq_of(np.sum(counts, axis=0)) == pytest.approx(100 * np.nanmean(quality.quality.pq))
    assert 0 < pq_of(np.sum(counts, axis=0)) < 100
