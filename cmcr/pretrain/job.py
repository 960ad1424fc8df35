"""`PretrainJob`: one pre-training as the workflow describes it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, NonNegativeInt, model_validator

from cmcr.compute import ComputeOptions
from cmcr.data.augment import PointAugmentation
from cmcr.data.images import ImageOptions
from cmcr.data.superpixels import SuperpixelOptions
from cmcr.models.backbone import Grid, NetworkOptions
from cmcr.options import Options
from cmcr.recipe import Recipe


class PretrainJob(Options):
    """Everything that decides the outcome of one pre-training, besides the data, the image encoder and the code."""

    method: str
    """Id under which the result is kept."""
    options: dict[str, Any] = Field(default={})
    """The method's options where they differ from its defaults."""
    seed: NonNegativeInt
    """Seed of initialisation, order, augmentation and sampling."""
    backbone: NetworkOptions
    """The 3D network."""
    voxels: Grid
    """The cells that it looks at."""
    recipe: Recipe
    """Optimiser, schedule and length."""
    augmentation: PointAugmentation
    """Of the points."""
    images: ImageOptions
    """Size and crops of the images."""
    superpixels: SuperpixelOptions | None = None
    """How the images are cut into superpixels, for a method that needs them."""
    compute: ComputeOptions
    """Device and threads."""

    @model_validator(mode="after")
    def _batch_is_shared_out(self) -> PretrainJob:
        self.compute.check_batch(self.recipe)
        return self
