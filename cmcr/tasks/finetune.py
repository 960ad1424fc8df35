"""Fine-tuning a backbone for a task and scoring it."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from cmcr.compute import prepare
from cmcr.data.batches import ScanDataset
from cmcr.data.index import ScanIndex
from cmcr.errors import ConfigError
from cmcr.files import sha256_of_json
from cmcr.models.backbone import BackboneRecord, load_backbone, read_record
from cmcr.processes import leave_to_the_first
from cmcr.progress import progress
from cmcr.results.frames import FrameCounts, FramesRecord, write_frames
from cmcr.results.provenance import collect_provenance, git_state
from cmcr.results.scores import Metric, Scores, write_scores
from cmcr.sources import code_digest
from cmcr.tasks.frozen import FrozenFeatures, recalibrate_batch_norm
from cmcr.tasks.job import FinetuneJob
from cmcr.tasks.model import TaskModel, evaluation_loader, save_model
from cmcr.tasks.registry import TASKS, make_task
from cmcr.training import TrainingModule, job_folder, make_loader, train

#: What of a job tells its run from others.
_RUN = {"task", "dataset", "pretrain_dataset", "method", "protocol", "label_percent", "seed", "toy"}

logger = logging.getLogger(__name__)


class FinetuneModule(TrainingModule):
    """A `TaskModel` in training."""

    def __init__(self, model: TaskModel, job: FinetuneJob, steps: int):
        super().__init__(job.recipe, steps, job.compute.precision)
        self.model = model

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return the task's losses."""
        return self.model.task.losses(self.in_float32(self.model, batch), batch)

    def body(self) -> Iterable[nn.Parameter]:
        """Return the backbone's parameters."""
        return self.model.backbone.parameters()

    def heads(self) -> Iterable[nn.Parameter]:
        """Return the task head's parameters."""
        return self.model.task.parameters()


def finetune(
    job: FinetuneJob,
    weights: Path,
    train_index: ScanIndex,
    labelled: Sequence[int],
    validation_index: ScanIndex,
    folder: Path,
    model_output: Path,
    scores_output: Path,
    frames_output: Path,
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
        frames_output: the statistics of each validation scan.

    Raises:
        CMCRError: the weights do not fit the job, a loss is not finite.
    """
    started, code = time.monotonic(), git_state()
    prepare(job.compute, job.seed)
    record = read_record(weights)
    _check(job, record, weights, train_index, labelled, validation_index)
    tokens = [train_index.records[position].token for position in labelled]
    checksums = [record.data_checksum, train_index.checksum, tokens, validation_index.checksum]
    with job_folder(folder):
        variants = job.batch_norm if job.protocol == "linear_probe" else ("stored",)
        models = {
            variant: _train_variant(
                job, variant, weights, train_index, labelled, folder / variant if len(variants) > 1 else folder
            )
            for variant in variants
        }
        leave_to_the_first()
        results = {name: (*score(model, job, validation_index), model) for name, model in models.items()}
        best = max(results, key=lambda name: _headline(results[name][0]))
        metrics, counts_FK, model = results[best]
        save_model(model_output, model, job, validation_index)
        run = job.model_dump(include=_RUN) | {"split": validation_index.split}
        write_frames(
            frames_output, FrameCounts(FramesRecord(**run, index_checksum=validation_index.checksum), counts_FK)
        )
        scores = Scores(
            **run,
            num_frames=len(validation_index),
            label_scans=len(labelled),
            metrics=metrics,
            variants={name: _headline(rows) for name, (rows, *_) in results.items()} if len(results) > 1 else {},
            provenance=collect_provenance(
                config_hash=sha256_of_json([job.model_dump(mode="json"), record.config_hash]),
                data_checksum=sha256_of_json(checksums),
                code=code,
                started=started,
                threads=job.compute.threads,
                devices=job.compute.devices,
            ),
        )
        write_scores(scores_output, scores)
    logger.info("%s %.2f  -> %s", metrics[0].metric, _headline(metrics), scores_output)
    return scores


def _check(
    job: FinetuneJob,
    record: BackboneRecord,
    weights: Path,
    train_index: ScanIndex,
    labelled: Sequence[int],
    validation_index: ScanIndex,
) -> None:
    """Refuse what would end up as a wrong number: weights of another row, a share without a scan, scans without the
    task's labels, a validation split that was trained on.
    """
    record.check(weights, method=job.method, dataset=job.pretrain_dataset, seed=job.seed)
    if not labelled:
        raise ConfigError(f"{job.label_percent:g} % of the labels of {job.dataset}: not a single labelled scan")
    for index, positions in ((train_index, labelled), (validation_index, range(len(validation_index)))):
        TASKS[job.task].check(index, positions)
    train_index.check_apart(validation_index)
    record.check_unseen(weights, validation_index)


def _train_variant(
    job: FinetuneJob, variant: str, weights: Path, index: ScanIndex, labelled: Sequence[int], folder: Path
) -> TaskModel:
    torch.manual_seed(job.seed)  # every variant starts from the same head
    backbone, _ = load_backbone(weights, job.backbone, job.voxels)
    task = make_task(job.task, backbone, index, job.options)
    model = TaskModel(backbone, task, frozen=job.protocol == "linear_probe")
    device = job.compute.device
    scans: Dataset[Any] = task.training_scans(index, labelled, job)
    if variant == "recalibrated":
        recalibrate_batch_norm(backbone, _plain(scans, job), device)
    if model.frozen and job.augmentation is None:
        scans = FrozenFeatures(backbone, _plain(scans, job), device)
    module = FinetuneModule(model, job, job.recipe.steps(len(labelled)))
    identity = sha256_of_json(
        [
            job.model_dump(mode="json"),
            code_digest(Path(__file__), index.reader_file),
            variant,
            hashlib.sha256(weights.read_bytes()).hexdigest(),
            index.checksum,
            list(labelled),
        ]
    )
    loader = make_loader(scans, job.recipe, job.seed, job.compute, collate_fn=task.collate)
    train(module, loader, job.compute, folder, identity)
    return model


def _plain(scans: Dataset[Any], job: FinetuneJob) -> ScanDataset:
    """Return the scans as those that a frozen backbone can be run over beforehand."""
    if not isinstance(scans, ScanDataset):
        raise ConfigError(f"{job.task} on {job.dataset}: no linear probe of this task; fine-tune it")
    return scans


@torch.no_grad()
def score(model: TaskModel, job: FinetuneJob, index: ScanIndex) -> tuple[list[Metric], NDArray[np.float64]]:
    """Score every scan of ``index``; return the metrics and the statistics of each scan, as `FrameCounts` has them."""
    device = job.compute.device
    model.to(device).eval()
    model.task.begin(index)
    sums, scored = [model.task.counts()], list[str]()
    loader = evaluation_loader(job, index, with_labels=True)
    for batch in progress(loader, len(loader), "scoring", logger):
        batch = batch.to(device)
        model.task.update(model(batch), batch)
        sums.append(model.task.counts())
        scored += batch.tokens
    if sorted(scored) != sorted(record.token for record in index.records):
        which = f"{len(set(scored))} of the {len(index)} scans of {index.dataset} {index.split}"
        raise ValueError(f"{which} were scored, {len(scored)} times")
    metrics = model.task.metrics()
    known = [each for each in sums if each is not None]
    if not known:
        return metrics, np.array([[math.nan if metrics[0].value is None else metrics[0].value]])
    return metrics, np.diff(np.stack(known).astype(np.float64), axis=0)


def _headline(metrics: Sequence[Metric]) -> float:
    """The first metric is the one that ranks; a missing one ranks last."""
    value = metrics[0].value
    return float("-inf") if value is None else value
