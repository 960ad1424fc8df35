"""One training run with Lightning: progress, logs, checkpoints, and a resume that ends in the same bytes."""

from __future__ import annotations

import logging
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.warnings import PossibleUserWarning
from lightning_utilities.core.apply_func import apply_to_collection
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cmcr.compute import ComputeOptions, Precision
from cmcr.data.batches import collate
from cmcr.data.draws import SeededSampler
from cmcr.errors import CMCRError
from cmcr.files import exclusive
from cmcr.recipe import Recipe, make_optimizer
from cmcr.training_callbacks import Course, KeepCheckpoint, LogLines, LossBar

logger = logging.getLogger(__name__)
# Lightning advises at length on matters that are decided here on purpose.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

_RESUME = "resume"


class TrainingModule(pl.LightningModule):
    """A network, its losses and its optimiser in Lightning's terms. A subclass gives losses and parameters.

    Attributes:
        measured: scalars of the last step that are logged beside its losses and not minimised, such as an accuracy.
    """

    def __init__(self, recipe: Recipe, total_steps: int, precision: Precision = "float32"):
        super().__init__()
        self.recipe, self.total_steps, self.precision = recipe, total_steps, precision
        self.measured: dict[str, Tensor] = {}

    def in_float32(self, network: Callable[..., Any], *inputs: Any) -> Any:
        """Run a network in the precision asked for; return its output, a tensor or a structure of some, in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = network(*inputs)
        return apply_to_collection(output, Tensor, lambda x: x.float() if x.dtype == torch.bfloat16 else x)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return the named losses of a batch; their sum is minimised."""
        raise NotImplementedError

    def body(self) -> Iterable[nn.Parameter]:
        """Return the parameters that are trained at the recipe's rate."""
        raise NotImplementedError

    def heads(self) -> Iterable[nn.Parameter]:
        """Return the parameters that are trained at the heads' rate."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, object]:  # noqa: ARG002
        """Sum the losses.

        Raises:
            CMCRError: the sum is not finite; step and scans are named.
        """
        losses = self.losses(batch)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
            raise CMCRError(
                f"the loss is {loss.item():g} at step {self.global_step + 1} of {self.total_steps} ({parts})\n"
                f"  scans:    {', '.join(batch.tokens)}\n"
                "  way out:  a lower learning rate; if it happens at the first step, check these scans' files"
            )
        return {
            "loss": loss,
            "parts": {name: value.detach() for name, value in losses.items()},
            "measured": {name: value.detach() for name, value in self.measured.items()},
        }

    def configure_optimizers(self):
        """Build what the recipe asks for; the schedule advances with every step."""
        optimizer, schedule = make_optimizer(self.recipe, self.body(), self.heads(), self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def make_loader(
    dataset: Dataset[Any],
    recipe: Recipe,
    seed: int,
    wanted: NDArray[np.bool_] | None = None,
    collate_fn: Callable[[Sequence[Any]], Any] = collate,
) -> DataLoader[Any]:
    """Return the training loader of ``dataset`` (items by `Draw`); the last, smaller batch of an epoch is kept.

    Every batch holds one of the ``wanted`` scans, a mask over the data set, where there is one.
    """
    length: int = len(dataset)  # type: ignore[arg-type]  # torch leaves its length out of the type
    sampler = SeededSampler(length, seed, wanted, recipe.batch_size)
    return DataLoader(
        dataset,
        batch_size=recipe.batch_size,
        sampler=sampler,
        collate_fn=collate_fn,
        num_workers=recipe.workers,
        persistent_workers=recipe.workers > 0,
    )


def total_steps(scans: int, recipe: Recipe) -> int:
    """Steps of a whole run over ``scans`` training scans."""
    return recipe.epochs * math.ceil(scans / recipe.batch_size)


@contextmanager
def job_folder(folder: Path) -> Iterator[None]:
    """Hold a job's folder (see `exclusive`). Once the block ends well, what a resume would need is deleted."""
    with exclusive(folder):
        yield
        for left in folder.glob(f"**/{_RESUME}"):
            shutil.rmtree(left)


def train(
    module: TrainingModule, loader: DataLoader[Any], compute: ComputeOptions, folder: Path, identity: str
) -> None:
    """Train ``module`` for its recipe's epochs, inside of `job_folder`.

    ``folder`` gets ``metrics.csv``, TensorBoard's file and a checkpoint: about ten are written over a run, each over
    the last, one of them at its end. A run that was killed goes on from there and ends as if it had not been, with the
    same weights and the same ``metrics.csv``. A checkpoint of another ``identity`` is not used.

    Args:
        module: what to train.
        loader: its batches, from `make_loader`.
        compute: the device.
        folder: of this run.
        identity: hash of all that decides its outcome.

    Raises:
        CMCRError: a loss is not finite, or the process was asked to end.
    """
    checkpoint = folder / _RESUME / f"{identity[:16]}.ckpt"
    if not checkpoint.is_file():
        shutil.rmtree(checkpoint.parent, ignore_errors=True)
    on_terminal = sys.stderr.isatty()
    trainer = pl.Trainer(
        accelerator="gpu" if compute.device == "cuda" else "cpu",
        devices=1,
        plugins=LightningEnvironment(),  # otherwise a cluster's variables would be taken for a run on many machines
        max_epochs=module.recipe.epochs,
        logger=False,
        callbacks=[
            Course(folder, module.recipe, module.total_steps),
            LossBar() if on_terminal else LogLines(module.total_steps),
            KeepCheckpoint(checkpoint, module.recipe.epochs),
        ],
        enable_progress_bar=on_terminal,
        enable_model_summary=False,
        enable_checkpointing=True,
        deterministic=True if compute.device == "cpu" else "warn" if compute.deterministic else False,
    )
    resume = checkpoint if checkpoint.is_file() else None
    if resume:
        logger.info("resuming from %s", resume)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on loader processes
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own use of torch
        try:
            trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
        except SIGTERMException:  # Lightning's; it would end the process as if all were well
            raise CMCRError(f"{folder}: stopped by SIGTERM\n  way out:  the same command goes on from here") from None
