"""Headline metrics from statistics that add up over scans, so that any sample of the scans can be scored at once.

Shapes: ... any, C classes with the ignored one, K statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmcr.data.scan import IGNORE

Sums = NDArray[np.float64]


def iou_counts(confusion_CC: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (3 C,) points of each class that are right, labelled, and predicted."""
    return np.concatenate([np.diagonal(confusion_CC), confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)])


def miou_of(sums: Sums) -> Sums:
    """Turn (..., 3 C) sums of `iou_counts` into (...) mIoU in percent by the devkit's rule; NaN without a class."""
    right, labelled, predicted = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    union = labelled + predicted - right
    with np.errstate(invalid="ignore"):
        iou = right / union
        there = union > 0
        there[..., IGNORE] = False
        return 100 * np.where(there, iou, 0.0).sum(axis=-1) / there.sum(axis=-1)


def pq_of(sums: Sums) -> Sums:
    """Turn (..., 4 C) sums of each class's IoU of matches, matches, wrong and missed segments into (...) PQ in percent.

    As the official count has it, a class without any segment has quality 0 and is part of the mean.
    """
    iou, matched, wrong, missed = np.moveaxis(sums.reshape(*sums.shape[:-1], 4, -1), -2, 0)
    weight = matched + wrong / 2 + missed / 2
    with np.errstate(invalid="ignore"):
        quality = np.where(weight > 0, iou / weight, 0.0)
    quality = np.delete(quality, IGNORE, axis=-1)
    return 100 * quality.mean(axis=-1)


def value_of(sums: Sums) -> Sums:
    """Return the one statistic there is: the metric over all scans, where it is made of more than sums."""
    return sums[..., 0]


#: By task, how its headline metric follows from the sums of its statistics.
METRIC_OF_SUMS: Final[dict[str, Callable[[Sums], Sums]]] = {
    "segmentation": miou_of,
    "panoptic": pq_of,
    "detection": value_of,
}
