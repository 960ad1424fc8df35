"""What accompanies a training run: its course as numbers, lines or a bar, and its checkpoint.

A step's number counts the steps finished, so the first row of a log is step 1.
"""

# ruff: noqa: ARG002 (Lightning passes more to a callback than most of them need)

from __future__ import annotations

import csv
import logging
import signal
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.tensorboard import SummaryWriter

from cmcr.errors import DataError
from cmcr.files import atomic_path, write_text, writing
from cmcr.processes import any_process
from cmcr.reading import read_text, reason_of
from cmcr.recipe import Recipe, schedule_factor

logger = logging.getLogger(__name__)

#: A run's log has about this many rows, whatever its length.
ROWS, LINES, CHECKPOINTS = 500, 20, 10
#: A long run writes more checkpoints: one at the end of each epoch that ends so many seconds after the last.
CHECKPOINT_AFTER_S = 600


def loss_values(outputs: Mapping[str, Any]) -> dict[str, float]:
    """Return the sum and the parts of a step's loss."""
    parts = {name: float(value) for name, value in outputs["parts"].items()}
    total = torch.stack(list(outputs["parts"].values())).sum()
    return {"loss": float(total)} | (parts if len(parts) > 1 else {})


def measured_values(outputs: Mapping[str, Any]) -> dict[str, float]:
    """Return what a step measured beside its loss."""
    return {name: float(value) for name, value in outputs["measured"].items()}


class Course(Callback):
    """Losses, what was measured beside them, and learning rate over the steps, as ``metrics.csv`` and for TensorBoard.

    After a resume both go on behind the last checkpoint; rows that were written after it are taken back, because their
    steps are run again.
    """

    def __init__(self, folder: Path, recipe: Recipe, total_steps: int):
        self.path, self.recipe, self.total_steps = folder / "metrics.csv", recipe, total_steps
        self.names: list[str] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the logs; a run from the start does away with older ones."""
        folder, step = self.path.parent, trainer.global_step
        if step == 0:
            for old in (self.path, *folder.glob("events.out.tfevents.*")):
                old.unlink(missing_ok=True)
        elif self.path.is_file():
            write_text(self.path, "".join(rows_until(step, self.path)))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a row where one is due."""
        step = trainer.global_step
        if step % max(1, self.total_steps // ROWS) and step not in (1, self.total_steps):
            return
        lr = self.recipe.lr * schedule_factor(self.recipe.schedule, step - 1, self.total_steps)
        values = {"lr": lr, **loss_values(outputs), **measured_values(outputs)}
        self.names = self.names or list(values)
        if list(values) != self.names:
            raise ValueError(f"step {step} logs {list(values)}, the steps before it {self.names}")
        with writing(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            if file.tell() == 0:
                rows.writerow(["step", "epoch", *values])
            rows.writerow([step, trainer.current_epoch, *(f"{value:.6g}" for value in values.values())])
        with writing(self.path.parent):
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close TensorBoard's file."""
        with writing(self.path.parent):
            self.writer.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close TensorBoard's file, if it was opened."""
        if hasattr(self, "writer"):
            with suppress(OSError):  # what went wrong first is what the user has to know
                self.writer.close()


def rows_until(step: int, path: Path) -> list[str]:
    """Return the header and the whole lines of a log up to ``step``; a kill may have cut the last line short.

    Raises:
        DataError: it cannot be read, or a line does not begin with its step.
    """
    try:
        header, *rows = read_text(path).splitlines(keepends=True)
        whole = (row for row in rows if row.endswith("\n"))
        return [header, *(row for row in whole if int(row.split(",", 1)[0]) <= step)]
    except (OSError, ValueError) as error:
        expected = f"the log of a training up to step {step}, each row with its step in front"
        fix = "delete it: the training goes on, and its log begins there; or delete the folder, and it starts over"
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=fix) from None


class LogLines(Callback):
    """Progress as plain lines, about twenty a run, where there is no terminal to draw a bar on."""

    def __init__(self, total_steps: int):
        self.total_steps = total_steps

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when and where the run starts."""
        self.started, self.first_step = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line at every twentieth of the run."""
        step, total = trainer.global_step, self.total_steps
        if step % max(1, total // LINES) and step != total:
            return
        rate = (step - self.first_step) / max(time.monotonic() - self.started, 1e-9)
        losses = " ".join(f"{name}={value:.4f}" for name, value in loss_values(outputs).items())
        logger.info("step %d/%d  %s  %.1f steps/s, %.0f s left", step, total, losses, rate, (total - step) / rate)


class LossBar(TQDMProgressBar):
    """Lightning's bar with the losses of the last step behind it."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the losses for the bar."""
        self.losses = {name: f"{value:.3f}" for name, value in loss_values(outputs).items()}
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return what stands behind the bar."""
        return getattr(self, "losses", {})


class KeepCheckpoint(Checkpoint):
    """Write a checkpoint at ends of epochs, each over the last: about ten times over a run, or more in a long one.

    The last one is written at the run's end. Every process of a run calls it, and the first one writes.

    Lightning's own `ModelCheckpoint` is more than this asks for. As a subclass of `Checkpoint` it is called after all
    other callbacks of an epoch's end.
    """

    def __init__(self, path: Path, epochs: int):
        self.path, self.epochs, self.every = path, epochs, max(1, epochs // CHECKPOINTS)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the run starts."""
        self.written = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it where one is due."""
        finished = trainer.current_epoch + 1
        # Each process has a clock of its own, and all have to agree.
        late = any_process(time.monotonic() - self.written >= CHECKPOINT_AFTER_S, pl_module.device)
        if finished % self.every and finished != self.epochs and not late:
            return
        self.written = time.monotonic()
        with atomic_path(self.path) if trainer.is_global_zero else nullcontext(self.path) as path:
            trainer.save_checkpoint(path)


class EndTogether(Callback):
    """Let SIGTERM, sent to one process of several or to all, end all of them behind the same step.

    Lightning's own handler talks to the other processes at once, wherever these are, also in the middle of other talk.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the place of Lightning's handler, which restores the one before at the end."""
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the run if any process is asked to."""
        if any_process(self.asked, pl_module.device):
            raise SIGTERMException
