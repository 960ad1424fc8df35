"""Pre-training a backbone with one method: the job as the workflow describes it, and the Lightning module."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcr.checkpoints import save_tensors
from cmcr.data.augment import PointAugmentation
from cmcr.data.batches import Batch, ScanDataset
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.voxels import VoxelGrid
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.options import Options
from cmcr.pretrain.method import Channels, PretrainMethod, Step
from cmcr.recipe import Recipe, make_optimizer
from cmcr.training import ComputeOptions, make_loader, total_steps, train, use

logger = logging.getLogger(__name__)

#: Channels of the network's input: the intensity.
INPUT_CHANNELS = 1


class PretrainJob(Options):
    """Everything that decides the outcome of one pre-training, besides the data."""

    method: str
    """Id under which the result is kept."""
    plugin: Path
    """File of the method."""
    options: dict = {}
    """The method's options where they differ from its defaults."""
    seed: int
    """Seed of initialisation, order, augmentation and sampling."""
    backbone: MinkUNetOptions
    """The 3D network."""
    voxels: VoxelGrid
    """Its voxels."""
    recipe: Recipe
    """Optimiser, schedule and length."""
    augmentation: PointAugmentation
    """Of the points."""
    images: ImageOptions
    """Size and crops of the images."""
    compute: ComputeOptions
    """Device and threads."""


class PretrainModule(pl.LightningModule):
    """Backbone, method and optimiser in Lightning's terms."""

    def __init__(self, backbone: MinkUNet, method: PretrainMethod, job: PretrainJob, steps: int, encode):
        super().__init__()
        self.backbone, self.method, self.job, self.steps = backbone, method, job, steps
        # Kept out of the module tree: the frozen encoder belongs to no checkpoint.
        self._encode = [encode]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Sum of the method's losses; each is logged."""
        losses = self.method.losses(
            Step(
                batch=batch,
                voxel_VC=self.backbone(batch.voxels()),
                encode=self._encode[0],
                generator=torch.Generator().manual_seed(self.job.seed * 1_000_003 + self.global_step),
            )
        )
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({"loss": loss.detach(), **{name: value.detach() for name, value in losses.items()}})
        return loss

    def configure_optimizers(self):
        """One rate for backbone and heads."""
        optimizer, schedule = make_optimizer(
            self.job.recipe, self.backbone.parameters(), self.method.parameters(), self.steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def pretrain(
    job: PretrainJob,
    method_class: type[PretrainMethod],
    index: ScanIndex | None,
    image_channels: int,
    encode,
    feature_bank: NDArray[np.float16] | None,
    folder: Path,
    output: Path,
) -> None:
    """Pre-train a backbone and write its weights to ``output`` (safetensors).

    Args:
        job: what to do.
        method_class: the plug-in's class.
        index: the training scans; None for a method that does not pre-train.
        image_channels: C of the image features.
        encode: the frozen image encoder, or None if ``feature_bank`` or the method makes it needless.
        feature_bank: (scans, cameras, C, h, w) features of all images computed beforehand, or None.
        folder: for logs and the checkpoint of a run under way.
        output: the weight file.
    """
    use(job.compute, job.seed)
    backbone = MinkUNet(job.backbone, in_channels=INPUT_CHANNELS, out_channels=None)
    options = method_class.Options.model_validate(job.options)
    if method_class.pretrains:
        if index is None:
            raise ValueError(f"the method {job.method} needs training scans")
        method = method_class(options, Channels(points=backbone.out_channels, image=image_channels))
        dataset = ScanDataset(
            index,
            range(len(index.records)),
            job.voxels,
            seed=job.seed,
            augmentation=job.augmentation,
            images=job.images if method_class.needs_images else None,
            with_labels=False,
            feature_bank=feature_bank,
        )
        module = PretrainModule(backbone, method, job, total_steps(len(dataset), job.recipe), encode)
        train(module, make_loader(dataset, job.recipe, job.seed), job.recipe, job.compute, folder)
    save_tensors(output, backbone.state_dict(), {"method": job.method, "voxels": job.voxels.model_dump_json()})
    logger.info("wrote %s", output)
