"""Semantic segmentation: a linear head on voxels, cross-entropy + Lovász-softmax, IoU per point."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cmcr.data.batches import Batch
from cmcr.data.scan import IGNORE
from cmcr.evaluation.iou import Confusion
from cmcr.losses.segmentation import segmentation_loss
from cmcr.results.scores import Metric
from cmcr.tasks.task import Task


class SegmentationTask(Task):
    """One class for each point.

    The loss is taken on voxels, labelled by the point that stands for each (valeoai/SLidR@14729d0:
    downstream/dataloader_nuscenes.py does the same); the score is taken on points, each of which gets the class of
    its voxel. Class 0 takes no part in either.
    """

    def __init__(self, channels: int, class_names: Sequence[str]):
        """Build a head for ``class_names``, whose first entry stands for ignored points."""
        super().__init__()
        self.class_names = list(class_names)
        self.head = nn.Linear(channels, len(class_names))
        self.reset()

    def forward(self, voxel_VC: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """(V, K) logits."""
        return self.head(voxel_VC)

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy and Lovász-softmax over the labelled voxels."""
        if batch.labels_P is None:
            raise ValueError("segmentation needs labels; this split has none")
        cross_entropy, lovasz = segmentation_loss(output, batch.labels_P[batch.first_V])
        return {"cross_entropy": cross_entropy, "lovasz": lovasz}

    @staticmethod
    def predict(output: Tensor, batch: Batch) -> Tensor:
        """(P,) class of each point; never the ignored one."""
        return (output[:, IGNORE + 1 :].argmax(1) + IGNORE + 1)[batch.voxel_P]

    def update(self, output: Tensor, batch: Batch) -> None:
        """Add the batch's points to the confusion matrix."""
        if batch.labels_P is None:
            raise ValueError("segmentation needs labels; this split has none")
        prediction = self.predict(output, batch)
        self.confusion.update(prediction.cpu().numpy(), batch.labels_P.cpu().numpy())

    def metrics(self) -> list[Metric]:
        """mIoU, fwIoU and IoU per class, in percent."""
        confusion = self.confusion
        rows = [
            Metric(metric="mIoU", **{"class": "all"}, value=100 * confusion.miou(), higher_is_better=True),
            Metric(metric="fwIoU", **{"class": "all"}, value=100 * confusion.fwiou(), higher_is_better=True),
        ]
        for name, iou in zip(self.class_names[IGNORE + 1 :], confusion.iou(), strict=True):
            value = None if iou is None else 100 * iou
            reason = "no such point in labels or predictions" if iou is None else None
            rows.append(Metric(metric="IoU", **{"class": name}, value=value, higher_is_better=True, reason=reason))
        return rows

    def reset(self) -> None:
        """Start a new confusion matrix."""
        self.confusion = Confusion(len(self.class_names))
