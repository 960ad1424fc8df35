"""`Task`: what fine-tuning asks of a task, so that one training loop serves them all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from cmcr.data.batches import Batch
from cmcr.results.scores import Metric


class Task(nn.Module, ABC):
    """A head on the backbone's voxel features, its losses, its decoding and its metric. V voxels, C channels."""

    @abstractmethod
    def forward(self, voxel_VC: Tensor, batch: Batch) -> Any:
        """Return the head's output, whatever the task's other methods understand."""

    @abstractmethod
    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch, scalars; their sum is minimised."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what was counted."""

    @abstractmethod
    def update(self, output: Any, batch: Batch) -> None:
        """Count a validation batch in."""

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """Return the official metrics of everything counted since `reset`; the first one ranks."""
