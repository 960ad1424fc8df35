"""Intersection over union of a segmentation, counted point by point over any number of scans."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmcr.data.scan import IGNORE

#: ``devkit``: as nuscenes-devkit 1.2.0, nuscenes/eval/lidarseg/utils.py. A class that is absent from both labels and
#: predictions has no IoU and takes no part in the mean; the frequency-weighted IoU weighs each class's IoU by its share
#: of the labelled points.
#: ``released``: as SLidR@14729d0 and CMCR@36654d5, utils/metrics.py. An absent class counts as 1, and what is called
#: frequency-weighted IoU is one IoU over the points of all classes together.
#: ``semantic_kitti``: as PRBonn/semantic-kitti-api, auxiliary/np_ioueval.py and eval_np.py. An absent class counts as
#: 0; where all occur, the mean is that of ``devkit``. The API has no frequency-weighted IoU; this gives the devkit's.
Rule = Literal["devkit", "released", "semantic_kitti"]


class Confusion:
    """Streaming confusion matrix of C classes.

    Points labelled with the ignored class are left out. A *prediction* of the ignored class is refused, as the official
    lidarseg evaluator refuses it: a network has to choose a class for every point.

    Attributes:
        counts: (C, C) int64, rows are labels and columns predictions; row and column of the ignored class stay 0.
    """

    def __init__(self, num_classes: int, ignore: int = IGNORE) -> None:
        self.num_classes = num_classes
        self.ignore = ignore
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, prediction: NDArray[np.integer], label: NDArray[np.integer]) -> None:
        """Add the points of one or several scans.

        Args:
            prediction: (P,) integers in [0, num_classes), never ``ignore``.
            label: (P,) integers in [0, num_classes).

        Raises:
            ValueError: the shapes differ, or a class is out of range.
        """
        if prediction.shape != label.shape or label.ndim != 1:
            raise ValueError(
                f"expected one prediction per label, found shapes {prediction.shape} (prediction) "
                f"and {label.shape} (label)"
            )
        prediction, label = prediction.astype(np.int64), label.astype(np.int64)
        for name, classes in (("prediction", prediction), ("label", label)):
            if len(classes) and not 0 <= classes.min() <= classes.max() < self.num_classes:
                raise ValueError(
                    f"expected every {name} in 0..{self.num_classes - 1}, found {classes.min()}..{classes.max()}"
                )
        if (prediction == self.ignore).any():
            raise ValueError(
                f"{(prediction == self.ignore).sum()} of {len(prediction)} points are predicted as the ignored class "
                f"{self.ignore}; every point needs a class that counts"
            )
        counted = label != self.ignore
        pair = self.num_classes * label[counted] + prediction[counted]
        self.counts += np.bincount(pair, minlength=self.num_classes**2).reshape(self.counts.shape)

    def iou(self, rule: Rule = "devkit") -> NDArray[np.float64]:
        """(C,) IoU of each class in [0, 1]; NaN for the ignored class and, by the devkit's rule, for absent ones."""
        intersection, union = self._intersection_and_union()
        with np.errstate(invalid="ignore"):
            iou = intersection / union
        if rule != "devkit":
            iou[union == 0] = 1.0 if rule == "released" else 0.0
        iou[self.ignore] = np.nan
        return iou

    def miou(self, rule: Rule = "devkit") -> float:
        """Mean of the classes' IoU in [0, 1]; NaN if no class has one."""
        iou = self.iou(rule)
        return float(iou[~np.isnan(iou)].mean()) if not np.isnan(iou).all() else float("nan")

    def fwiou(self, rule: Rule = "devkit") -> float:
        """Frequency-weighted IoU in [0, 1]; NaN if no point is labelled."""
        points = int(self.counts.sum())
        if points == 0:
            return float("nan")
        if rule == "released":
            intersection, union = self._intersection_and_union()
            return float(intersection.sum() / union.sum())
        return float(np.nansum(self.counts.sum(axis=1) * self.iou()) / points)

    def _intersection_and_union(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        intersection = np.diagonal(self.counts)
        return intersection, self.counts.sum(axis=0) + self.counts.sum(axis=1) - intersection
