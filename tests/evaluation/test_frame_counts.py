from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.evaluation.frame_counts import iou_counts, miou_of, pq_of
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
