"""`Task`: what fine-tuning asks of a task, so that one training loop serves them all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cmcr.data.batches import Batch
from cmcr.data.index import ScanIndex
from cmcr.errors import DataError
from cmcr.options import Options as AnyOptions
from cmcr.results.scores import Metric


class NoOptions(AnyOptions):
    """A task without options."""


class Task(nn.Module, ABC):
    """A head on the backbone's voxel features, its losses, its decoding and its metric. V voxels, C channels.

    Fine-tuning calls `check` on both splits, `build` once, then `forward` and `losses` for each training batch; to
    score, `reset`, then `forward` and `update` for each scan of the validation split, then `metrics`. `forward` runs in
    evaluation mode then and without gradients. Exports and pictures use `predict`. What labels a task needs beside
    classes and instances becomes a field of `cmcr.data.batches.Batch`.
    """

    Options: ClassVar[type[AnyOptions]] = NoOptions
    """Options of the task, under ``tasks.<task>.<data set>.options`` in a config."""

    @classmethod
    @abstractmethod
    def build(cls, channels: int, index: ScanIndex, options: AnyOptions) -> Self:
        """Build the task's head on ``channels`` backbone features, for the classes of ``index``.

        All random numbers come from torch's generator, which is seeded before.

        Args:
            channels: C.
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

    @abstractmethod
    def forward(self, voxel_VC: Tensor, batch: Batch) -> Any:
        """Return the head's output, whatever the task's other methods understand."""

    @abstractmethod
    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch, scalars; their sum is minimised."""

    @abstractmethod
    def predict(self, output: Any, batch: Batch) -> Any:
        """Decode the head's output into the task's prediction; labels are not looked at."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what was counted."""

    @abstractmethod
    def update(self, output: Any, batch: Batch) -> None:
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
