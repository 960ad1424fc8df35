"""The group ``tasks`` of the config file: what is run on which data set, at which shares of the labels.

The options of a task's head stand beside its code; a new task gets its group in `Tasks`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveFloat, StringConstraints, model_validator

from cmcr.data.augment import PointAugmentation
from cmcr.data.subsets import SubsetRule
from cmcr.options import Options
from cmcr.recipe import Recipe
from cmcr.tasks.detection import DetectionOptions
from cmcr.tasks.panoptic import PanopticOptions

#: Ids become names of folders and wildcards of rules.
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]


def _printable(percent: float) -> float:
    if float(f"{percent:g}") != percent:
        raise ValueError("a share of the labels has at most six digits, because it becomes a name")
    return percent


Percent = Annotated[float, Field(gt=0, le=100), AfterValidator(_printable)]


class LinearProbeOptions(Options):
    """The task's head, linear for segmentation, on the frozen backbone, with all labels."""

    recipe: Recipe
    """Optimiser, schedule and length."""
    augmentation: PointAugmentation | None = None
    """Of the points; null computes the frozen features once and keeps them in memory."""


class FinetuneOptions(Options):
    """All weights trained, at several shares of the labels."""

    label_percents: Annotated[tuple[Percent, ...], Field(min_length=1)]
    """Shares of the training labels in percent."""
    subset_rule: SubsetRule = "scene"
    """What is counted off: every k-th ``scene`` (the nuScenes recipes) or every k-th ``scan``."""
    recipe: Recipe
    """Optimiser, schedule and length."""
    recipe_by_percent: dict[Percent, dict[str, Any]] = Field(default={})
    """Fields of the recipe that a share replaces, for example ``{1: {epochs: 100}}``."""
    recipe_without_pretraining: dict[str, Any] = Field(default={})
    """Fields of the recipe that methods without pre-training replace, after those of the share."""
    augmentation: PointAugmentation = PointAugmentation()
    """Of the points."""
    batch_norm_momentum: PositiveFloat | None = None
    """Replaces the backbone's during fine-tuning (SLidR: 0.02 after 0.05); null keeps it."""

    @model_validator(mode="after")
    def _shares_are_run(self) -> FinetuneOptions:
        unused = sorted(set(self.recipe_by_percent) - set(self.label_percents))
        if unused:
            raise ValueError(f"recipe_by_percent has {unused[0]:g} %, which is not among label_percents")
        return self


class TaskOptions(Options):
    """How one data set is used for one task."""

    linear_probe: LinearProbeOptions | None = None
    """The linear probe; null leaves it out."""
    finetune: FinetuneOptions | None = None
    """Fine-tuning; null leaves it out."""
    methods: Annotated[tuple[Id, ...], Field(min_length=1)] | None = None
    """Methods that are run; null: all of them, ablations as well."""

    @model_validator(mode="after")
    def _something_is_run(self) -> TaskOptions:
        if self.linear_probe is None and self.finetune is None:
            raise ValueError("expected linear_probe, finetune or both")
        return self


class PanopticTaskOptions(TaskOptions):
    """How one data set is used for panoptic segmentation."""

    options: PanopticOptions = PanopticOptions()
    """How instances are learned, found and counted."""


class DetectionFinetuneOptions(FinetuneOptions):
    """All weights trained, at several shares of the labels."""

    augmentation: PointAugmentation = PointAugmentation(rotation_deg=45, flip_x=0, flip_y=0.5, scale=(0.95, 1.05))
    """Of points and boxes, after things of other scans were put in; the default is SECOND's on KITTI."""

    @model_validator(mode="after")
    def _boxes_stay(self) -> DetectionFinetuneOptions:
        if self.augmentation.drop_cuboid is not None:
            raise ValueError("augmentation.drop_cuboid would empty boxes; detection is fine-tuned without it")
        return self


class DetectionTaskOptions(TaskOptions):
    """How one data set is used for 3D object detection, which is fine-tuned only."""

    finetune: DetectionFinetuneOptions | None = None
    """Fine-tuning."""
    options: DetectionOptions = DetectionOptions()
    """The detector on the VoxelNet, and how it is trained."""

    @model_validator(mode="after")
    def _no_probe(self) -> DetectionTaskOptions:
        if self.linear_probe is not None:
            raise ValueError("detection is fine-tuned only; take linear_probe out")
        return self


class Tasks(Options):
    """Tasks, each with its data sets."""

    segmentation: dict[Id, TaskOptions] = Field(default={})
    """Semantic segmentation, by data set."""
    panoptic: dict[Id, PanopticTaskOptions] = Field(default={})
    """Panoptic segmentation, by data set."""
    detection: dict[Id, DetectionTaskOptions] = Field(default={})
    """3D object detection, by data set; it stands on the network of the group ``voxelnet``."""

    def items(self) -> list[tuple[str, str, TaskOptions]]:
        """Return (task, data set, options) of everything that is to be run."""
        return [(task, dataset, options) for task, group in self for dataset, options in group.items()]
