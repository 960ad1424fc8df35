"""One training run with Lightning: progress, logs, checkpoints, and a resume that ends in the same bytes."""

from __future__ import annotations

import logging
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from cmcr.data.batches import Batch, SeededSampler, collate
from cmcr.errors import CMCRError
from cmcr.files import exclusive
from cmcr.options import Options
from cmcr.recipe import Recipe

logger = logging.getLogger(__name__)


class ComputeOptions(Options):
    """What a job may use."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks run."""
    threads: int = 1
    """Threads of one job on the CPU. Fixed here rather than by ``--cores``, because sums depend on it in their last bit."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Number format of training."""


def use(compute: ComputeOptions, seed: int) -> None:
    """Prepare this process: threads, deterministic algorithms, and the seed of parameter initialisation."""
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True, warn_only=compute.device == "cuda")
    torch.manual_seed(seed)
    # Lightning advises at length on matters that are decided here on purpose.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def make_loader(dataset, recipe: Recipe, seed: int) -> DataLoader[Batch]:
    """Return the training loader of ``dataset`` (items by `Draw`); the last, smaller batch of an epoch is kept."""
    return DataLoader(
        dataset,
        batch_size=recipe.batch_size,
        sampler=SeededSampler(len(dataset), seed),
        collate_fn=collate,
        num_workers=recipe.workers,
        persistent_workers=recipe.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def total_steps(scans: int, recipe: Recipe) -> int:
    """Steps of a whole run over ``scans`` training scans."""
    return recipe.epochs * math.ceil(scans / recipe.batch_size)


def train(
    module: pl.LightningModule, loader: DataLoader[Batch], recipe: Recipe, compute: ComputeOptions, folder: Path
) -> None:
    """Train ``module`` for ``recipe.epochs`` epochs.

    ``folder`` holds ``metrics.csv`` and TensorBoard's file, and while the run lasts, its checkpoint: about ten are
    written over a run, each over the last. A run that was killed goes on from there and ends as if it had not been.

    Raises:
        CMCRError: a loss is not finite (step and scans are named), or another process is training in ``folder``.
    """
    with exclusive(folder):
        checkpoint = folder / "resume" / "last.ckpt"
        every = max(1, recipe.epochs // 10)
        keep_last = ModelCheckpoint(
            checkpoint.parent, filename="last", enable_version_counter=False, every_n_epochs=every, save_top_k=1
        )
        progress: Callback = TQDMProgressBar() if sys.stderr.isatty() else LogLines()
        trainer = pl.Trainer(
            accelerator="gpu" if compute.device == "cuda" else "cpu",
            devices=1,
            precision=compute.precision,
            max_epochs=recipe.epochs,
            logger=[CSVLogger(folder, name="", version=""), TensorBoardLogger(folder, name="", version="")],
            callbacks=[keep_last, progress, StopOnBadLoss()],
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            log_every_n_steps=5,
            deterministic=True if compute.device == "cpu" else "warn",
        )
        resume = checkpoint if checkpoint.is_file() else None
        if resume:
            logger.info("resuming from %s", resume)
        # The checkpoint is this run's own; it also holds optimiser state, which the safe loader understands.
        trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
        shutil.rmtree(checkpoint.parent, ignore_errors=True)


class StopOnBadLoss(Callback):
    """Stop with the scans' names when a loss is not finite."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Look at the loss of the step that just ended."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not torch.isfinite(loss):
            raise CMCRError(
                f"the loss is {float(loss)} at step {trainer.global_step} (epoch {trainer.current_epoch})\n"
                f"  scans:    {', '.join(batch.tokens)}\n"
                "  way out:  a lower learning rate; if it happens at the first step, check these scans' files"
            )


class LogLines(Callback):
    """Progress as plain lines, about twenty a run, where there is no terminal to draw a bar on."""

    def on_train_start(self, trainer, pl_module) -> None:  # noqa: ARG002
        """Note when and where the run starts."""
        self.started, self.first_step = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx: int) -> None:  # noqa: ARG002
        """Write a line at every twentieth of the run."""
        steps, total = trainer.global_step, int(trainer.estimated_stepping_batches)
        if steps % max(1, total // 20) and steps != total:
            return
        rate = (steps - self.first_step) / max(time.monotonic() - self.started, 1e-9)
        left = (total - steps) / max(rate, 1e-9)
        values = {k: float(v) for k, v in trainer.callback_metrics.items()}
        losses = " ".join(f"{name}={value:.4f}" for name, value in values.items())
        logger.info("step %d/%d  %s  %.1f steps/s, %.0f s left", steps, total, losses, rate, left)
