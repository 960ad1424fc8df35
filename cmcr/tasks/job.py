"""`FinetuneJob`: one fine-tuning as the workflow describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, model_validator

from cmcr.compute import ComputeOptions
from cmcr.data.augment import PointAugmentation
from cmcr.models.backbone import BatchNormStatistics, Grid, NetworkOptions
from cmcr.options import Options
from cmcr.recipe import Recipe

#: The tasks there are; `cmcr.tasks.registry` knows the class of each.
TaskName = Literal["segmentation", "panoptic", "detection"]
Protocol = Literal["linear_probe", "finetune"]


class FinetuneJob(Options):
    """Everything that decides the outcome of one fine-tuning, besides data and backbone weights."""

    task: TaskName
    """What is learned."""
    options: dict[str, Any] = Field(default={})
    """The task's own options."""
    dataset: str
    """Id of the data set."""
    toy: bool
    """Whether it is the toy city."""
    pretrain_dataset: str
    """Id of the data set of pre-training; ``none`` without pre-training."""
    method: str
    """Id of the method that made the backbone."""
    protocol: Protocol
    """Frozen backbone, or all weights."""
    label_percent: Annotated[float, Field(gt=0, le=100)]
    """Share of the training labels."""
    seed: NonNegativeInt
    """Seed of head, order and augmentation."""
    backbone: NetworkOptions
    """The 3D network."""
    voxels: Grid
    """The cells that it looks at."""
    recipe: Recipe
    """Optimiser, schedule and length."""
    augmentation: PointAugmentation | None
    """Of the points; null: none, and a frozen backbone then runs once over each scan instead of once an epoch."""
    batch_norm: Annotated[tuple[BatchNormStatistics, ...], Field(min_length=1)] = ("stored",)
    """BatchNorm statistics that a linear probe tries; the strongest counts."""
    compute: ComputeOptions
    """Device and threads."""

    @model_validator(mode="after")
    def _batch_is_shared_out(self) -> FinetuneJob:
        self.compute.check_batch(self.recipe)
        return self
