"""What a job may use: device and threads, and how a process is prepared for it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt

from cmcr.options import Options


class ComputeOptions(Options):
    """What a job may use."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""
    threads: PositiveInt = 1
    """CPU threads of one job. Fixed here, not by ``--cores``: the last bit of a sum depends on how it is split up."""


def prepare(compute: ComputeOptions, seed: int) -> None:
    """Prepare this process: threads, deterministic algorithms, and the seed of parameter initialisation."""
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True, warn_only=compute.device == "cuda")
    # Deterministic mode would also fill every new tensor with NaN, to show reads of unwritten memory; that costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
