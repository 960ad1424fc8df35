"""`Task`: what fine-tuning asks of a task, so that one training loop serves them all."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cmcr.data.batches import Batch
from cmcr.results.scores import Metric


class Task(nn.Module):
    """A head on the backbone's voxel features, its loss, its decoding and its metric."""

    def forward(self, voxel_VC: Tensor, batch: Batch) -> Any:
        """Return the head's output."""
        raise NotImplementedError

    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch."""
        raise NotImplementedError

    def update(self, output: Any, batch: Batch) -> None:
        """Count a validation batch in."""
        raise NotImplementedError

    def metrics(self) -> list[Metric]:
        """Return the official metrics of everything counted since `reset`."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget what was counted."""
        raise NotImplementedError
