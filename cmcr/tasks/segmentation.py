"""Semantic segmentation: a linear head on voxels, cross-entropy and Lovasz-softmax, IoU per point.

V voxels, P points, C channels, K classes with the ignored one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cmcr.data.batches import Batch
from cmcr.data.index import ScanIndex
from cmcr.data.scan import IGNORE
from cmcr.evaluation.frame_counts import iou_counts
from cmcr.evaluation.iou import Confusion
from cmcr.losses.segmentation import segmentation_losses
from cmcr.models.backbone import Backbone
from cmcr.options import Options
from cmcr.results.scores import Metric
from cmcr.tasks.task import Task, percent_metric


class SegmentationTask(Task):
    """One class for each point.

    The losses are taken on voxels, each labelled by the point that stands for it (as
    valeoai/SLidR@14729d0:downstream/dataloader_nuscenes.py does it); the score is taken on points, each of which gets
    the class of its voxel. Class 0 takes no part in either.
    """

    def __init__(self, channels: int, class_names: Sequence[str]):
        """Build a head for ``class_names``, whose first entry stands for ignored points."""
        super().__init__()
        self.class_names = tuple(class_names)
        self.head = nn.Linear(channels, len(self.class_names))
        self.reset()

    @classmethod
    def build(cls, backbone: Backbone, index: ScanIndex, options: Options) -> SegmentationTask:  # noqa: ARG003
        """See `Task.build`."""
        return cls(backbone.out_channels, index.class_names)

    def forward(self, features: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return (V, K) logits."""
        return self.head(features)

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return ``cross_entropy`` and ``lovasz`` over the labelled voxels."""
        return segmentation_losses(output, _labels(batch)[batch.first_V])

    @staticmethod
    def predict(output: Tensor, batch: Batch) -> Tensor:
        """Return the (P,) int64 class of each point; never the ignored one."""
        return (output[:, IGNORE + 1 :].argmax(dim=1) + IGNORE + 1)[batch.voxel_P]

    def reset(self) -> None:
        """Start a new confusion matrix."""
        self.confusion = Confusion(len(self.class_names))

    def update(self, output: Tensor, batch: Batch) -> None:
        """Add the batch's points to the confusion matrix."""
        self.confusion.update(self.predict(output, batch).cpu().numpy(), _labels(batch).cpu().numpy())

    def counts(self) -> NDArray[np.int64]:
        """See `Task.counts`."""
        return iou_counts(self.confusion.counts)

    def metrics(self) -> list[Metric]:
        """Return mIoU, fwIoU and the IoU of each class in percent; a class that does not occur has none."""
        per_class = zip(self.class_names, self.confusion.iou(), strict=True)
        return [
            percent_metric("miou", "all", self.confusion.miou(), "no labelled point in the whole split"),
            percent_metric("fwiou", "all", self.confusion.fwiou(), "no labelled point in the whole split"),
            *(
                percent_metric("iou", name, float(iou), "no point of this class in labels or predictions")
                for number, (name, iou) in enumerate(per_class)
                if number != IGNORE
            ),
        ]


def _labels(batch: Batch) -> Tensor:
    if batch.labels_P is None:
        raise ValueError("segmentation needs labels; this batch has none")
    return batch.labels_P
