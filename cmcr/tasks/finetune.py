"""Fine-tuning a backbone for a task and scoring it: the job, the Lightning module, and the evaluation."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cmcr.checkpoints import load_strictly, read_tensors, save_tensors
from cmcr.data.augment import PointAugmentation
from cmcr.data.batches import Batch, Draw, Sample, ScanDataset, collate
from cmcr.data.index import ScanIndex
from cmcr.data.voxels import VoxelGrid
from cmcr.files import sha256_of_json
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.options import Options
from cmcr.recipe import Recipe, make_optimizer
from cmcr.results.provenance import collect_provenance
from cmcr.results.scores import Metric, Scores, write_scores
from cmcr.tasks.segmentation import SegmentationTask
from cmcr.tasks.task import Task
from cmcr.training import ComputeOptions, make_loader, total_steps, train, use

logger = logging.getLogger(__name__)

INPUT_CHANNELS = 1


class FinetuneJob(Options):
    """Everything that decides the outcome of one fine-tuning, besides data and backbone weights."""

    task: Literal["segmentation"]
    """What is learned."""
    dataset: str
    """Id of the data set."""
    toy: bool
    """Whether it is the toy city."""
    pretrain_dataset: str
    """Id of the data set of pre-training; ``none`` without pre-training."""
    method: str
    """Id of the method that made the backbone."""
    protocol: Literal["linear_probe", "finetune"]
    """Frozen backbone, or all weights."""
    label_percent: float
    """Share of the training labels."""
    seed: int
    """Seed of head, order and augmentation."""
    backbone: MinkUNetOptions
    """The 3D network."""
    voxels: VoxelGrid
    """Its voxels."""
    recipe: Recipe
    """Optimiser, schedule and length."""
    augmentation: PointAugmentation | None
    """Of the points; null: none, and a frozen backbone then runs once over each scan instead of once an epoch."""
    batch_norm: tuple[str, ...] = ("stored",)
    """BatchNorm statistics that a linear probe tries; the strongest counts."""
    compute: ComputeOptions
    """Device and threads."""


class FinetuneModule(pl.LightningModule):
    """Backbone, task and optimiser in Lightning's terms."""

    def __init__(self, backbone: MinkUNet, task: Task, job: FinetuneJob, steps: int):
        super().__init__()
        self.backbone, self.task, self.job, self.steps = backbone, task, job, steps
        self.frozen = job.protocol == "linear_probe"
        self.backbone.requires_grad_(not self.frozen)

    def on_train_epoch_start(self) -> None:
        """A frozen backbone keeps its statistics too."""
        if self.frozen:
            self.backbone.eval()

    def forward(self, batch: Batch):
        """Return the task head's output."""
        if batch.backbone_VC is not None:
            return self.task(batch.backbone_VC, batch)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone(batch.voxels())
        return self.task(features, batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Sum of the task's losses; each is logged."""
        losses = self.task.losses(self(batch), batch)
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({"loss": loss.detach(), **{name: value.detach() for name, value in losses.items()}})
        return loss

    def configure_optimizers(self):
        """The head may have a rate of its own."""
        optimizer, schedule = make_optimizer(
            self.job.recipe, self.backbone.parameters(), self.task.parameters(), self.steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class FrozenFeatures(Dataset[Sample]):
    """Scans with the features that a frozen backbone gives them, computed once and kept in memory."""

    def __init__(self, backbone: MinkUNet, dataset: ScanDataset, device: str):
        self.samples = [self._with_features(backbone, dataset[position], device) for position in range(len(dataset))]

    @staticmethod
    @torch.no_grad()
    def _with_features(backbone: MinkUNet, sample: Sample, device: str) -> Sample:
        features = backbone.eval()(collate([sample]).to(device).voxels())
        return dataclasses.replace(sample, backbone_VC=features.cpu())

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw | int) -> Sample:
        return self.samples[draw.position if isinstance(draw, Draw) else draw]


def finetune(
    job: FinetuneJob,
    weights: Path,
    train_index: ScanIndex,
    labelled: Sequence[int],
    validation_index: ScanIndex,
    folder: Path,
    model_output: Path,
    scores_output: Path,
) -> Scores:
    """Fine-tune on the labelled scans, score every validation scan, and write weights and scores.

    Args:
        job: what to do.
        weights: backbone weights of the pre-training.
        train_index: the training split.
        labelled: positions in it whose labels may be used.
        validation_index: the split to score; all of it is.
        folder: for logs and the checkpoint of a run under way.
        model_output: backbone and head as safetensors.
        scores_output: the scores file.
    """
    started = time.monotonic()
    use(job.compute, job.seed)
    results: dict[str, tuple[list[Metric], FinetuneModule]] = {}
    for variant in job.batch_norm if job.protocol == "linear_probe" else ("stored",):
        torch.manual_seed(job.seed)
        module = _train_variant(job, variant, weights, train_index, labelled, folder / variant)
        results[variant] = (score(module, job, validation_index), module)
    best = max(results, key=lambda name: _headline(results[name][0]))
    metrics, module = results[best]
    save_tensors(model_output, module.state_dict(), {"job": job.model_dump_json()})
    scores = Scores(
        task=job.task,
        dataset=job.dataset,
        split=validation_index.split,
        num_frames=len(validation_index.records),
        pretrain_dataset=job.pretrain_dataset,
        method=job.method,
        protocol=job.protocol,
        label_percent=job.label_percent,
        label_scans=len(labelled),
        seed=job.seed,
        toy=job.toy,
        metrics=metrics,
        variants={name: _headline(rows) for name, (rows, _) in results.items()} if len(results) > 1 else {},
        provenance=collect_provenance(
            config_hash=sha256_of_json(job.model_dump(mode="json")),
            data_checksum=sha256_of_json([train_index.checksum, validation_index.checksum]),
            started=started,
            threads=job.compute.threads,
        ),
    )
    write_scores(scores_output, scores)
    logger.info("%s %.2f  -> %s", metrics[0].metric, _headline(metrics), scores_output)
    return scores


def _train_variant(
    job: FinetuneJob, variant: str, weights: Path, index: ScanIndex, labelled: Sequence[int], folder: Path
) -> FinetuneModule:
    backbone = MinkUNet(job.backbone, in_channels=INPUT_CHANNELS, out_channels=None)
    load_strictly(backbone, read_tensors(weights), weights)
    task = make_task(job, backbone.out_channels, index)
    scans: Dataset = ScanDataset(index, labelled, job.voxels, seed=job.seed, augmentation=job.augmentation)
    if variant == "recalibrated":
        recalibrate_batch_norm(backbone, scans, job.compute.device)
    if job.protocol == "linear_probe" and job.augmentation is None:
        scans = FrozenFeatures(backbone.to(job.compute.device), scans, job.compute.device)  # type: ignore[arg-type]
    steps = total_steps(len(labelled), job.recipe)
    module = FinetuneModule(backbone, task, job, steps)
    train(module, make_loader(scans, job.recipe, job.seed), job.recipe, job.compute, folder)
    return module


def make_task(job: FinetuneJob, channels: int, index: ScanIndex) -> Task:
    """Build the head that ``job`` asks for."""
    return SegmentationTask(channels, index.class_names)


@torch.no_grad()
def recalibrate_batch_norm(backbone: nn.Module, scans: Dataset, device: str) -> None:
    """Replace all BatchNorm statistics by the plain average over one pass of ``scans``, one scan at a time."""
    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm1d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's sign for a cumulative average
    backbone.to(device).train()
    for position in range(len(scans)):  # type: ignore[arg-type]
        backbone(collate([scans[position]]).to(device).voxels())
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    backbone.eval()


@torch.no_grad()
def score(module: FinetuneModule, job: FinetuneJob, index: ScanIndex) -> list[Metric]:
    """Score every scan of ``index``, unaugmented."""
    device = job.compute.device
    module.to(device).eval()
    module.task.reset()
    dataset = ScanDataset(index, range(len(index.records)), job.voxels)
    for batch in DataLoader(dataset, batch_size=1, collate_fn=collate, num_workers=job.recipe.workers):
        batch = batch.to(device)
        module.task.update(module(batch), batch)
    return module.task.metrics()


def _headline(metrics: Sequence[Metric]) -> float:
    """The first metric is the one that ranks; a missing one ranks last."""
    value = metrics[0].value
    return float("-inf") if value is None else value
