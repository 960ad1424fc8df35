"""What a job may use: device and threads, and how a process is prepared for it."""

from __future__ import annotations

import logging
import os
from typing import Literal

import torch
from pydantic import Field, PositiveInt

from cmcr.options import Options
from cmcr.processes import follow, rank
from cmcr.recipe import Recipe
from cmcr.sparse.engine import choose_engine

logger = logging.getLogger(__name__)


Precision = Literal["float32", "bfloat16"]


class ComputeOptions(Options):
    """What a job may use."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""
    threads: PositiveInt = 1
    """CPU threads of one job. Fixed here, not by ``--cores``: the last bit of a sum depends on how it is split up."""
    precision: Precision = "float32"
    """Of the networks' products in training. Losses, a method's own heads, spconv's convolutions and all scoring are
    in float32 in any case."""
    deterministic: bool = False
    """On ``cuda``: whether the same sums come out every time, as they always do on the CPU. That leaves out spconv and
    costs time; what torch has no such algorithm for, it names in the log."""
    # Left out where it is one, because jobs are hashed: what was made on one device is still what it was.
    devices: PositiveInt = Field(default=1, exclude_if=lambda devices: devices == 1)
    """Devices that share each batch of a pre-training or fine-tuning, with a process of ``threads`` threads for each.
    ``recipe.batch_size`` is the batch of all together, so it has to be a multiple; steps and schedule stay as they
    are. Every other job takes one device."""

    def check_batch(self, recipe: Recipe, where: str = "recipe") -> None:
        """Refuse a batch that cannot be shared out.

        Raises:
            ValueError: it is not a multiple of `devices`; the message begins with ``where``.
        """
        if recipe.batch_size % self.devices:
            raise ValueError(
                f"{where}.batch_size\n  expected: a multiple of {self.devices}, because the devices of "
                f"compute.devices share every batch\n  found:    {recipe.batch_size}\n"
                "  way out:  another batch size, or another number of devices"
            )


def prepare(compute: ComputeOptions, seed: int) -> None:
    """Prepare this process: threads, GPU, engine, deterministic algorithms, the seed of parameter initialisation."""
    follow()
    torch.set_num_threads(compute.threads)
    if compute.device == "cuda" and rank() > 0:
        torch.cuda.set_device(rank())
    engine = choose_engine(compute.device, compute.deterministic)
    repeatable = compute.device == "cpu" or compute.deterministic
    if compute.device == "cuda":
        logger.info("sparse convolutions: %s", engine)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS's sums may differ
        torch.backends.cudnn.benchmark = not repeatable
    torch.use_deterministic_algorithms(repeatable, warn_only=compute.device == "cuda")
    # Deterministic mode would also fill every new tensor with NaN, to show reads of unwritten memory; that costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
