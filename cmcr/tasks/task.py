"""`Task`: what fine-tuning asks of a task, so that one training loop serves them all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from cmcr.data.batches import ScanDataset, collate
from cmcr.data.index import ScanIndex
from cmcr.errors import DataError
from cmcr.models.backbone import MINKUNET, Backbone, NetworkName, point_features
from cmcr.options import Options as AnyOptions
from cmcr.results.scores import Metric
from cmcr.tasks.job import FinetuneJob


class NoOptions(AnyOptions):
    """A task without options."""


class Task(nn.Module, ABC):
    """A head on the backbone's features, its losses, its decoding and its metric.

    Fine-tuning calls `check` on both splits, `build` once, then `features`, `forward` and `losses` for each batch of
    `training_scans`; to score, `begin`, then `features`, `forward` and `update` for each of `evaluation_scans`, then
    `metrics`. The network runs in evaluation mode then and without gradients. Exports and pictures use `predict`.

    A task stands on voxel features and on `cmcr.data.batches.Batch`, unless it says otherwise: then it makes its own
    batches, which have ``tokens`` and ``to``, and hands itself what it wants of the backbone.
    """

    Options: ClassVar[type[AnyOptions]] = NoOptions
    """Options of the task, under ``tasks.<task>.<data set>.options`` in a config."""
    network: ClassVar[NetworkName] = MINKUNET
    """The 3D network that the task stands on."""

    @classmethod
    @abstractmethod
    def build(cls, backbone: Backbone, index: ScanIndex, options: AnyOptions) -> Self:
        """Build the task's head for what ``backbone`` gives and for the classes of ``index``.

        All random numbers come from torch's generator, which is seeded before.

        Args:
            backbone: the network below the head; it is only asked for its sizes.
            index: any split of the data set; its scans are not read.
            options: an instance of the class's `Options`.

        Raises:
            ConfigError: the options do not fit the data set.
        """

    @classmethod
    def check(cls, index: ScanIndex, positions: Sequence[int]) -> None:
        """Refuse scans that lack what the task is learned from and scored on; here, the semantic labels.

        Args:
            index: a split.
            positions: which of its scans are learned from or scored.

        Raises:
            DataError: says what is missing.
        """
        without = [index.records[place].token for place in positions if index.records[place].labels is None]
        if without:
            raise DataError(
                f"{index.root}: split {index.split} of {index.dataset} has no labels for {len(without)} of "
                f"{len(positions)} scans, the first is {without[0]}\n"
                "  expected: labels for every scan that is learned from or scored\n"
                f"  way out:  get the labels (nuScenes: {index.version}/lidarseg.json and its files, a separate "
                "download), or name another split (Waymo: one that ends in _labelled)"
            )

    @classmethod
    def training_scans(cls, index: ScanIndex, labelled: Sequence[int], job: FinetuneJob) -> Dataset[Any]:
        """Return the samples to learn from, by `cmcr.data.draws.Draw`; no label of another scan is read.

        Args:
            index: the training split.
            labelled: positions in it whose labels may be used.
            job: says how scans are changed, and with which seed.
        """
        return ScanDataset(index, labelled, job.voxels, seed=job.seed, augmentation=job.augmentation)

    @classmethod
    def evaluation_scans(cls, index: ScanIndex, job: FinetuneJob, *, with_labels: bool) -> Dataset[Any]:
        """Return every scan of a split as it is, in order."""
        return ScanDataset(index, range(len(index)), job.voxels, with_labels=with_labels)

    @staticmethod
    def collate(samples: Sequence[Any]) -> Any:
        """Put samples together as one batch."""
        return collate(samples)

    @staticmethod
    def features(backbone: Any, batch: Any) -> Tensor:
        """Run the backbone: here, (V, C) features of V voxels."""
        return point_features(backbone, batch)

    @abstractmethod
    def forward(self, features: Tensor, batch: Any) -> Any:
        """Return the head's output, whatever the task's other methods understand."""

    @abstractmethod
    def losses(self, output: Any, batch: Any) -> dict[str, Tensor]:
        """Return the named losses of a batch, scalars; their sum is minimised."""

    @abstractmethod
    def predict(self, output: Any, batch: Any) -> Any:
        """Decode the head's output into the task's prediction; labels are not looked at."""

    def begin(self, index: ScanIndex) -> None:  # noqa: ARG002
        """Begin to count the scans of a split; here, whatever the split is."""
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget what was counted."""

    @abstractmethod
    def update(self, output: Any, batch: Any) -> None:
        """Count a validation batch in."""

    def counts(self) -> NDArray[np.number] | None:
        """Return (K,) statistics of everything counted since `reset`, from which `METRIC_OF_SUMS` makes the metric that
        ranks; None where that metric is made of more than sums over scans.
        """
        return None

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """Return the official metrics of everything counted since `reset`; the first one ranks."""


def percent_metric(metric: str, class_name: str, share: float, reason: str) -> Metric:
    """Turn a share in [0, 1], the higher the better, into percent; NaN becomes the reason why there is none."""
    missing = math.isnan(share)
    return Metric(
        metric=metric,
        class_name=class_name,
        value=None if missing else 100 * share,
        higher_is_better=True,
        reason=reason if missing else None,
    )
