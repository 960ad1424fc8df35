"""Panoptic quality: how well segments are found and outlined, as nuScenes and SemanticKITTI count it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcr.data.scan import IGNORE

#: An id beyond every instance id that the counting may meet: it pairs two of them as ``a + OFFSET * b`` in int64, which
#: ends at 2**63.
_OFFSET = 2**31


class Quality(NamedTuple):
    """Shares in [0, 1] of C classes, (C,) float64 each; NaN for the ignored class."""

    pq: NDArray[np.float64]
    """Panoptic quality, ``sq * rq``."""
    sq: NDArray[np.float64]
    """Mean IoU of the matched segments."""
    rq: NDArray[np.float64]
    """``TP / (TP + FP / 2 + FN / 2)``."""
    iou: NDArray[np.float64]
    """IoU of the class over points, whatever the segments."""


class PanopticQuality:
    """Panoptic quality over any number of scans (arXiv:1801.00868), counted by nuscenes-devkit's ``PanopticEval``.

    A segment is the points of a scan that share class and instance. A predicted and a true segment of one class match
    where their IoU is above one half; what is left over counts against the class if it has ``min_points``. Points
    labelled with the ignored class are left out. By the official rule a class without any segment in labels and
    predictions has quality 0 and is part of the means (a segmentation's mIoU leaves it out).
    """

    def __init__(self, num_classes: int, things: Sequence[int], min_points: int, ignore: int = IGNORE) -> None:
        """Begin with nothing counted.

        Args:
            num_classes: with the ignored one.
            things: classes whose instances are told apart; the others, but the ignored one, are stuff.
            min_points: smaller segments without a partner are no error (15 on nuScenes, 50 on SemanticKITTI).
            ignore: class of the points that are left out.
        """
        # The devkit takes two seconds to import, and not all who import this measure anything.
        from nuscenes.eval.panoptic.panoptic_seg_evaluator import PanopticEval

        self.num_classes, self.ignore = num_classes, ignore
        self.things = np.isin(np.arange(num_classes), list(things))
        self.stuff = ~self.things & (np.arange(num_classes) != ignore)
        self._counter = PanopticEval(num_classes, ignore=[ignore], offset=_OFFSET, min_points=min_points)

    def update(
        self,
        classes: NDArray[np.integer],
        instances: NDArray[np.integer],
        true_classes: NDArray[np.integer],
        true_instances: NDArray[np.integer],
    ) -> None:
        """Add the points of one scan.

        Args:
            classes: (P,) predicted class, never the ignored one.
            instances: (P,) predicted instance, from 0; segments of different classes may share a number.
            true_classes: (P,) class, ``ignore`` for points that do not count.
            true_instances: (P,) instance, from 0.

        Raises:
            ValueError: the shapes differ, or a class or instance is out of range.
        """
        parts = {"class": classes, "instance": instances, "true class": true_classes, "true instance": true_instances}
        shapes = {part.shape for part in parts.values()}
        if len(shapes) > 1 or classes.ndim != 1:
            raise ValueError(
                f"expected four arrays of one length, found shapes {[part.shape for part in parts.values()]}"
            )
        for name, values in parts.items():
            end = self.num_classes if name.endswith("class") else _OFFSET - 1
            if len(values) and not 0 <= values.min() <= values.max() < end:
                raise ValueError(f"expected every {name} in 0..{end - 1}, found {values.min()}..{values.max()}")
        if (classes == self.ignore).any():
            raise ValueError(
                f"{(classes == self.ignore).sum()} of {len(classes)} points are predicted as the ignored class "
                f"{self.ignore}; every point needs a class that counts"
            )
        self.__dict__.pop("quality", None)
        self._counter.addBatch(*(part.astype(np.int64) for part in parts.values()))

    @cached_property
    def quality(self) -> Quality:
        """What was found so far, by class."""
        *_, pq, sq, rq = self._counter.getPQ()
        _, iou = self._counter.getSemIoU()
        shares = np.array([pq, sq, rq, iou])
        shares[:, self.ignore] = np.nan
        return Quality(*shares)

    @property
    def counts(self) -> NDArray[np.float64]:
        """(4 C,) sums so far, by class: IoU of matched segments, matches, wrong segments, missed segments."""
        counter = self._counter
        return np.concatenate([counter.pan_iou, counter.pan_tp, counter.pan_fp, counter.pan_fn]).astype(np.float64)

    def pq_dagger(self) -> float:
        """Mean over all classes of PQ for things and of IoU for stuff (arXiv:1905.01220)."""
        return float(np.concatenate([self.quality.pq[self.things], self.quality.iou[self.stuff]]).mean())
