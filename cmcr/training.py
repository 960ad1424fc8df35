"""One training run with Lightning: progress, logs, checkpoints, and a resume that ends in the same bytes."""

from __future__ import annotations

import logging
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.warnings import PossibleUserWarning
from lightning_utilities.core.apply_func import apply_to_collection
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cmcr.checkpoints import read_content
from cmcr.compute import ComputeOptions, Precision
from cmcr.data.batches import collate
from cmcr.data.draws import SeededSampler
from cmcr.errors import CMCRError, WeightsError
from cmcr.files import exclusive
from cmcr.models.synced_norm import synced_norms
from cmcr.processes import end, is_of_another, lead, mean_over_processes, rank
from cmcr.recipe import Recipe, make_optimizer
from cmcr.training_callbacks import Course, EndTogether, KeepCheckpoint, LogLines, LossBar

logger = logging.getLogger(__name__)
# Lightning advises at length on matters that are decided here on purpose.
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)

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

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:  # noqa: ARG002
        """Copy a batch while the CPU goes on (Lightning calls this, and waits for what is no single tensor)."""
        return batch.to(device, non_blocking=True)

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
            "parts": mean_over_processes(losses, self.device),
            "measured": mean_over_processes(self.measured, self.device),
        }

    def configure_optimizers(self):
        """Build what the recipe asks for; the schedule advances with every step."""
        optimizer, schedule = make_optimizer(self.recipe, self.body(), self.heads(), self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def make_loader(
    dataset: Dataset[Any],
    recipe: Recipe,
    seed: int,
    compute: ComputeOptions,
    wanted: NDArray[np.bool_] | None = None,
    collate_fn: Callable[[Sequence[Any]], Any] = collate,
) -> DataLoader[Any]:
    """Return the training loader of ``dataset`` (items by `Draw`); the last, smaller batch of an epoch is kept.

    On several devices each process loads its share of every batch (`SeededSampler`). Every share holds one of the
    ``wanted`` scans, a mask over the data set, where there is one. For a GPU, batches lie where it reads them while the
    CPU goes on.
    """
    length: int = len(dataset)  # type: ignore[arg-type]  # torch leaves its length out of the type
    sampler = SeededSampler(length, seed, wanted, recipe.batch_size, rank(), compute.devices)
    return DataLoader(
        dataset,
        batch_size=recipe.batch_size // compute.devices,
        sampler=sampler,
        collate_fn=collate_fn,
        num_workers=recipe.workers,
        persistent_workers=recipe.workers > 0,
        pin_memory=compute.device == "cuda",
    )


class SafeCheckpoints(TorchCheckpointIO):
    """Checkpoints read like any other weights: whole, and without running anything."""

    def load_checkpoint(self, path: Path | str, *_: Any, **__: Any) -> Any:
        """Return what a checkpoint holds, on the CPU.

        Raises:
            WeightsError: it is damaged.
        """
        try:
            return read_content(path)
        except WeightsError as error:
            raise WeightsError(f"{error}\n            or delete it: the training then starts over") from error


@contextmanager
def job_folder(folder: Path) -> Iterator[None]:
    """Hold a job's folder (see `exclusive`). Once the block ends well, what a resume would need is deleted.

    Of several processes the first one does both; the others are started while it holds the folder.
    """
    if rank() > 0:
        yield
        return
    with exclusive(folder):
        yield
        for left in folder.glob(f"**/{_RESUME}"):
            shutil.rmtree(left)


def train(
    module: TrainingModule, loader: DataLoader[Any], compute: ComputeOptions, folder: Path, identity: str
) -> None:
    """Train ``module`` for its recipe's epochs, inside of `job_folder`.

    On several devices, the first call starts the other processes, which come here by themselves; `leave_to_the_first`
    ends them when the last training of the job is over. Gradients are the mean over the processes, BatchNorm takes its
    statistics from all of them, and what is logged is their mean.

    ``folder`` gets ``metrics.csv``, TensorBoard's file and a checkpoint, which `KeepCheckpoint` writes now and then,
    each over the last, one of them at the end. A run that was killed goes on from there and ends as if it had not
    been, with the same weights and the same ``metrics.csv``. A checkpoint of another ``identity`` is not used.

    Args:
        module: what to train.
        loader: its batches, from `make_loader`.
        compute: the device, or how many of them.
        folder: of this run.
        identity: hash of all that decides its outcome.

    Raises:
        CMCRError: a loss is not finite, the process was asked to end, there are fewer GPUs than devices, or another
            process has failed.
    """
    checkpoint = folder / _RESUME / f"{identity[:16]}.ckpt"
    first, several = rank() == 0, compute.devices > 1
    if first and not checkpoint.is_file():
        shutil.rmtree(checkpoint.parent, ignore_errors=True)
    if several:
        _check_devices(compute)
        lead(compute.threads)
    shown = first and sys.stderr.isatty()
    speaking: list[Callback] = [Course(folder, module.recipe, module.total_steps)]
    speaking += [LossBar() if shown else LogLines(module.total_steps)]
    trainer = pl.Trainer(
        accelerator="gpu" if compute.device == "cuda" else "cpu",
        devices=compute.devices,
        strategy=DDPStrategy() if several else "auto",
        use_distributed_sampler=False,  # the loader's own shares the batches out
        # Without the first, a cluster's variables would be taken for a run on many machines.
        plugins=[LightningEnvironment(), SafeCheckpoints()],
        max_epochs=module.recipe.epochs,
        logger=False,
        callbacks=[
            *(speaking if first else []),
            *([EndTogether()] if several else []),
            KeepCheckpoint(checkpoint, module.recipe.epochs),
        ],
        enable_progress_bar=shown,
        enable_model_summary=False,
        enable_checkpointing=True,
        deterministic=True if compute.device == "cpu" else "warn" if compute.deterministic else False,
    )
    # All processes see the same: none of them has the first one write before they have met.
    resume = checkpoint if checkpoint.is_file() else None
    if resume:
        logger.info("resuming from %s", resume)
    with warnings.catch_warnings(), synced_norms(module) if several else nullcontext():
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on loader processes
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own use of torch
        try:
            trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
        except SIGTERMException:  # Lightning's; it would end the process as if all were well
            end(f"{folder}: stopped by SIGTERM\n  way out:  the same command goes on from here")
        except Exception as error:
            if not several or not is_of_another(error):
                raise
            end(
                f"{folder}: another one of this run's {compute.devices} processes has ended before its time\n"
                "  way out:  mend what it says above; the same command then goes on from here"
            )


def _check_devices(compute: ComputeOptions) -> None:
    if compute.device == "cuda" and torch.cuda.device_count() < compute.devices:
        raise CMCRError(
            f"compute.devices\n  expected: {compute.devices} GPUs that this process sees\n"
            f"  found:    {torch.cuda.device_count()}\n  way out:  fewer devices, or more GPUs for this job"
        )
