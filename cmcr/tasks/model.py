"""`TaskModel`: a backbone with a task's head on it, as a module and as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from cmcr.checkpoints import build, read_metadata, save_tensors
from cmcr.data.index import ScanIndex
from cmcr.errors import WeightsError
from cmcr.models.backbone import Backbone, make_backbone
from cmcr.reading import parse_json
from cmcr.tasks.job import FinetuneJob
from cmcr.tasks.registry import TASKS, make_task
from cmcr.tasks.task import Task


class TaskModel(nn.Module):
    """Backbone and task.

    Attributes:
        frozen: whether the backbone stays as it is: no gradient reaches it, its BatchNorm statistics do not move.
    """

    def __init__(self, backbone: Backbone, task: Task, *, frozen: bool = False):
        super().__init__()
        self.backbone, self.task, self.frozen = backbone, task, frozen
        self.backbone.requires_grad_(not frozen)
        self.train()  # nothing else calls it before training, and a frozen backbone must not begin in training mode

    def train(self, mode: bool = True) -> TaskModel:
        """Switch between training and evaluation; a frozen backbone stays in evaluation."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, batch: Any) -> Any:
        """Return the task head's output; the backbone is not run where the batch brings its features along."""
        kept = getattr(batch, "backbone_VC", None)
        if kept is not None:
            return self.task(kept, batch)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.task.features(self.backbone, batch)
        return self.task(features, batch)


def save_model(path: Path, model: TaskModel, job: FinetuneJob, index: ScanIndex) -> None:
    """Write backbone, head, job and class names as safetensors, atomically."""
    save_tensors(
        path, model.state_dict(), {"job": job.model_dump_json(), "class_names": json.dumps(list(index.class_names))}
    )


def load_model(path: Path, index: ScanIndex) -> tuple[TaskModel, FinetuneJob]:
    """Read what `save_model` wrote, in evaluation mode, for use on ``index``.

    Raises:
        WeightsError: the file is missing, damaged, no fine-tuned model, or one for other classes than those
            of ``index``.
    """
    metadata = read_metadata(path)
    try:
        job = FinetuneJob.model_validate_json(metadata["job"])
        class_names = tuple(parse_json(metadata["class_names"]))
    except (KeyError, TypeError, ValueError):  # pydantic's ValidationError is the last
        raise WeightsError(
            f"{path}\n  expected: a fine-tuned model as `cmcr finetune` writes it\n"
            "  found:    no record of its job, or one of another version\n  way out:  fine-tune again"
        ) from None
    if class_names != index.class_names:
        raise WeightsError(
            f"{path}\n  expected: the classes of {index.dataset}: {', '.join(index.class_names)}\n"
            f"  found:    a model for {', '.join(map(str, class_names))}\n"
            "  way out:  use a model that was fine-tuned on this data set's classes"
        )

    def make() -> TaskModel:
        backbone = make_backbone(job.backbone, job.voxels)
        return TaskModel(backbone, make_task(job.task, backbone, index, job.options))

    return build(make, path).eval(), job


def evaluation_loader(job: FinetuneJob, index: ScanIndex, *, with_labels: bool) -> DataLoader[Any]:
    """Return every scan of ``index``, unaugmented, one to a batch."""
    task = TASKS[job.task]
    return DataLoader(
        task.evaluation_scans(index, job, with_labels=with_labels),
        batch_size=1,
        collate_fn=task.collate,
        num_workers=job.recipe.workers,
    )
