"""Predictions of a fine-tuned model in the official submission format of a data set (`cmcr.tasks.submissions`)."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from cmcr.compute import prepare
from cmcr.data.index import ScanIndex
from cmcr.errors import ConfigError
from cmcr.progress import progress
from cmcr.tasks.model import evaluation_loader, load_model
from cmcr.tasks.submissions import SUBMISSIONS

logger = logging.getLogger(__name__)


@torch.no_grad()
def write_submission(model_path: Path, index: ScanIndex, output: Path) -> None:
    """Predict every scan of ``index`` and write the files of the model's task below ``output``.

    Args:
        model_path: a model that `cmcr.tasks.finetune.finetune` wrote.
        index: a split, with or without labels.
        output: the submission's folder.

    Raises:
        ConfigError: there is no such format for the data set and the model's task.
        WeightsError: the model file is missing, damaged, or for other classes.
        DataError: a sweep is missing or damaged, or a scan has more instances than the format can number.
    """
    model, job = load_model(model_path, index)
    submission = SUBMISSIONS.get((index.reader, job.task))
    if submission is None:
        there = ", ".join(f"{task} on {reader}" for reader, task in SUBMISSIONS)
        raise ConfigError(
            f"{index.dataset}: no submission format for {job.task} on files that the reader {index.reader!r} reads\n"
            f"  expected: {there}"
        )
    prepare(job.compute, job.seed)
    device = job.compute.device
    model.to(device)
    loader = evaluation_loader(job, index, with_labels=False)
    batches = (batch.to(device) for batch in progress(loader, len(loader), "predicting", logger))
    predictions = (
        (record, model.task.predict(model(batch), batch)) for record, batch in zip(index.records, batches, strict=True)
    )
    submission.write_all(index, predictions, output)
    logger.info("wrote the predictions of %d scans of %s below %s", len(index), index.split, output)
