"""The config file: every key, its type, its default and its meaning.

Groups of options stand beside the code they configure; here they are put together. ``config/README.md`` and the JSON
schema are printed from this module by ``cmcr config-docs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from cmcr.compute import ComputeOptions
from cmcr.config_errors import describe
from cmcr.config_tasks import Id, Tasks
from cmcr.data.augment import PointAugmentation
from cmcr.data.box_classes import BOX_CLASSES
from cmcr.data.images import ImageOptions
from cmcr.data.joined import JOIN
from cmcr.data.range_grid import RangeGrid
from cmcr.data.releases import load_release
from cmcr.data.superpixels import SuperpixelOptions
from cmcr.data.toy.city import ToyCityOptions
from cmcr.data.toy.formats import FORMATS
from cmcr.data.voxels import VoxelGrid
from cmcr.diagnostics.job import DiagnosticsOptions
from cmcr.errors import ConfigError
from cmcr.models.backbone import NO_DATASET, VOXELNET
from cmcr.models.image_encoder import TeacherOptions
from cmcr.models.minkunet import MinkUNetOptions
from cmcr.models.voxelnet import VoxelNetOptions, map_size
from cmcr.options import Options, overlaid
from cmcr.pretrain.teacher import TeacherRecipe
from cmcr.reading import reason_of
from cmcr.recipe import Recipe
from cmcr.tasks.registry import network_of
from cmcr.yaml_files import read_yaml

Found = TypeVar("Found")


def _join(ids: Any) -> Any:
    if not isinstance(ids, list | tuple):
        return ids
    if not ids or not all(isinstance(one, str) for one in ids) or len(set(ids)) < len(ids):
        raise ValueError("expected the id of a data set, or a list of some, each once")
    return JOIN.join(ids)


#: Ids of data sets as one id.
JoinedId = Annotated[
    str,
    StringConstraints(pattern=rf"^[A-Za-z0-9][A-Za-z0-9_]*(\{JOIN}[A-Za-z0-9][A-Za-z0-9_]*)*$"),
    BeforeValidator(_join, json_schema_input_type=Id | list[Id]),
]


class Splits(Options):
    """Which of a data set's own splits are used for what."""

    train: str
    """Split of pre-training and fine-tuning."""
    validation: str
    """Split that is scored; every frame of it."""

    @model_validator(mode="after")
    def _apart(self) -> Splits:
        if self.train == self.validation:
            raise ValueError(
                f"train and validation are both {self.train}; a network is not scored on what it learned from"
            )
        return self


class DatasetOptions(Options):
    """One data set: a folder on disk, or the toy city that the run makes itself."""

    format: Literal["nuscenes", "semantic_kitti", "waymo", "kitti"] = "nuscenes"
    """On-disk format, and with it the reader; docs/datasets.md says what each expects."""
    version: str
    """The data set's own name of its release, for example ``v1.0-trainval``. With ``semantic_kitti``: which data set in
    that format it is (``semantic_kitti``, ``scribble_kitti``, ``semantic_poss``, ...; docs/datasets.md lists them), or
    the path of a file (``.yaml``) that describes another. With ``kitti``, the object benchmark: ``training``."""
    splits: Splits
    """Which split is used for what."""
    root: Path | None = None
    """Folder of the data set; relative paths count from where Snakemake runs. Left out for the toy city."""
    tfrecords: Path | None = None
    """With ``waymo``: folder with ``training/`` and ``validation/`` of TFRecord segments, which the run converts into
    ``root`` (docs/waymo.md). Null: ``root`` holds converted segments already."""
    second_return: bool = False
    """With ``waymo``: whether the LiDAR's second returns are points as well."""
    toy: ToyCityOptions | None = None
    """Size and seed of the toy city; makes this data set one that the run generates."""

    @property
    def has_cameras(self) -> bool:
        """Whether scans come with images."""
        return self.format != "semantic_kitti" or load_release(self.version).images is not None

    @model_validator(mode="after")
    def _one_source(self) -> DatasetOptions:
        if (self.root is None) == (self.toy is None):
            raise ValueError("expected either root (a folder on disk) or toy (the generated city), not both or neither")
        if self.tfrecords is not None and (self.format != "waymo" or self.toy is not None):
            raise ValueError("tfrecords are of the format waymo, on disk")
        if self.second_return and self.format != "waymo":
            raise ValueError("second_return is for the format waymo")
        if self.toy is not None:
            made = FORMATS[self.format]
            if self.version != made.version:
                raise ValueError(
                    f"the toy city is made as version {made.version}, with the splits {made.train_split} and "
                    f"{made.validation_split}"
                )
            _checked(self.toy.scene_names, self.format)
        if self.format == "semantic_kitti":
            known = _checked(load_release, self.version).splits
            for split in (self.splits.train, self.splits.validation):
                if split not in known:
                    raise ValueError(f"{self.version} has no split {split!r}; it has {', '.join(known)}")
        return self


def _checked(find: Callable[[str], Found], name: str) -> Found:
    """Return what ``find`` finds; what is wrong with ``name`` becomes a problem of the key it stands under."""
    try:
        return find(name)
    except ConfigError as error:
        raise ValueError(str(error)) from None


class MethodOptions(Options):
    """One row of the tables."""

    plugin: Id | None = None
    """Id of the method's plug-in file; null takes the row's own id. Two rows may share a plug-in."""
    label: str | None = None
    """Name in tables and figures; null takes the plug-in's."""
    published_as: str | None = None
    """Name in the published tables of ``results/reference/``, to which ``tables/published.*`` compares; null takes the
    label."""
    options: dict[str, Any] = Field(default={})
    """The method's own options where they differ from its defaults."""
    recipe: dict[str, Any] = Field(default={})
    """Fields of the pre-training recipe that this method replaces."""
    augmentation: dict[str, Any] = Field(default={})
    """Fields of ``pretrain.augmentation`` that this method replaces."""
    ablation_of: Id | None = None
    """Id of the row that this one varies. It starts from that row's plug-in, options, recipe and augmentation, so that
    it says only what differs, and stands in ``tables/ablation.*`` instead of the tables of the tasks."""

    weights: Path | None = None
    """Published weights (``.pt`` of SLidR, OLIVINE, CMCR and their like) to import instead of pre-training."""
    pretrain_dataset: Id | None = None
    """With ``weights``: data set that they were trained on, for scores and folders; null: ``published``."""
    trained_voxels: VoxelGrid | None = None
    """With ``weights``: voxels they were trained on, to be the run's too; null: what the file says, or the run's."""

    @model_validator(mode="after")
    def _trained_or_published(self) -> MethodOptions:
        if self.weights is None:
            for name in ("pretrain_dataset", "trained_voxels"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} describes published weights, and this row has none (key weights)")
        elif self.options or self.recipe:
            raise ValueError("published weights are not trained here; take options and recipe out of this row")
        if self.ablation_of is not None and self.weights is not None:
            raise ValueError("an ablation is trained here; take weights out of this row")
        if self.pretrain_dataset == NO_DATASET:
            raise ValueError(f"pretrain_dataset: {NO_DATASET} is for rows without pre-training; take another name")
        return self


def _complete_ablations(methods: dict[str, MethodOptions]) -> dict[str, MethodOptions]:
    """Let each ablation start from the row that it varies."""
    found = dict(methods)
    for row, options in methods.items():
        if options.ablation_of is None:
            continue
        base = methods.get(options.ablation_of)
        if base is None or base.ablation_of is not None or base.weights is not None:
            rows = [name for name, other in methods.items() if other.ablation_of is None and other.weights is None]
            raise ValueError(
                f"{row}.ablation_of: expected a row that is trained here and no ablation itself "
                f"({', '.join(rows)}), found {options.ablation_of!r}"
            )
        update: dict[str, Any] = {
            "plugin": options.plugin or base.plugin or options.ablation_of,
            "label": options.label or row,
        }
        for group in ("options", "recipe", "augmentation"):
            update[group] = overlaid(getattr(base, group), getattr(options, group))
        found[row] = options.model_copy(update=update)
    return found


class PretrainOptions(Options):
    """How every method pre-trains."""

    dataset: JoinedId
    """Data set of pre-training; its train split without its labels. A list of data sets joins their scans: every epoch
    sees all of them, mixed, and in folders and tables they stand as ``one+other``. Diagnostics, measures on held-out
    scans and pictures are those of the first."""
    recipe: Recipe
    """Optimiser, schedule and length."""
    augmentation: PointAugmentation = PointAugmentation()
    """Of the points."""
    images: ImageOptions = ImageOptions()
    """Size and crops of the images."""
    superpixels: SuperpixelOptions = SuperpixelOptions()
    """How images are cut into superpixels, for the methods that need them."""
    superpixel_jobs: PositiveInt = 8
    """Jobs that the superpixels are computed in, which may run side by side."""
    cache_image_features: bool = False
    """Run the frozen image encoder once over all images instead of in every step; needs ``images.crop: null``."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets of pre-training, the one that it is measured on first."""
        return tuple(self.dataset.split(JOIN))

    @model_validator(mode="after")
    def _cache_needs_whole_images(self) -> PretrainOptions:
        if self.cache_image_features and self.images.crop is not None:
            raise ValueError("cache_image_features: true needs images.crop: null, because crops change the features")
        return self


class VoxelNetGroup(Options):
    """The 3D network that detection stands on: a VoxelNet, pre-trained by every method like the other network.

    What ``pretrain`` says counts for it too, but for what stands here.
    """

    network: VoxelNetOptions = VoxelNetOptions()
    """Its size."""
    grid: RangeGrid
    """Bounds and cells in pre-training, in the LiDAR frame of its data set; points outside are left out. (SLidR on
    nuScenes: ``bounds_m: [-51.2, -51.2, -5, 51.2, 51.2, 3], cell_m: [0.1, 0.1, 0.2]``.)"""
    superpixels: SuperpixelOptions = SuperpixelOptions(segments=30)
    """How images are cut into superpixels, for the methods that need them; in place of ``pretrain.superpixels``."""
    recipe: dict[str, Any] = Field(default={})
    """Fields of ``pretrain.recipe`` that are replaced, before those of a method."""
    augmentation: dict[str, Any] = Field(default={})
    """Fields of ``pretrain.augmentation`` that are replaced, before those of a method."""

    @model_validator(mode="after")
    def _fits(self) -> VoxelNetGroup:
        map_size(self.network, self.grid)
        return self


class Config(Options):
    """A whole run."""

    run_name: Id
    """Everything the run makes lies below ``results/<run_name>/``."""
    seeds: Annotated[tuple[Annotated[NonNegativeInt, Field(lt=2**31)], ...], Field(min_length=1)]
    """Seeds; every method is pre-trained and fine-tuned with each."""
    datasets: Annotated[dict[Id, DatasetOptions], Field(min_length=1)]
    """Data sets by the id they have in tables."""
    methods: Annotated[dict[Id, MethodOptions], Field(min_length=1), AfterValidator(_complete_ablations)]
    """Methods by the id they have in scores and folders, in the order of the tables."""
    plugin_dirs: tuple[Path, ...] = ()
    """Further folders with methods, one file each."""
    compute: ComputeOptions = ComputeOptions()
    """What a job may use."""
    backbone: MinkUNetOptions = MinkUNetOptions()
    """The 3D network of segmentation."""
    voxels: VoxelGrid = VoxelGrid()
    """The voxels of this network."""
    voxelnet: VoxelNetGroup | None = None
    """The 3D network of detection; needed where ``tasks.detection`` is, without effect elsewhere."""
    teacher: TeacherOptions
    """The frozen image encoder."""
    teacher_recipe: TeacherRecipe = TeacherRecipe()
    """How a teacher of kind ``small`` is trained; without effect on the others."""
    pretrain: PretrainOptions
    """Pre-training."""
    tasks: Tasks = Tasks()
    """What the pre-trained networks are fine-tuned for."""
    gains_over: Id | None = "scratch"
    """Method over which the table of gains shows the others, where the run has it; null leaves the table out."""
    diagnostics: DiagnosticsOptions | None = None
    """What the frozen features hold, measured on the data set of pre-training; null leaves it out."""

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        used = [("pretrain.dataset", dataset) for dataset in self.pretrain.datasets]
        used += [(f"tasks.{task}", dataset) for task, dataset, _ in self.tasks.items()]
        for key, dataset in used:
            if dataset not in self.datasets:
                raise ValueError(f"{key} names the data set {dataset!r}; datasets has {', '.join(self.datasets)}")
        self._check_networks()
        for task, dataset, options in self.tasks.items():
            for row in options.methods or ():
                if row not in self.methods:
                    raise ValueError(
                        f"tasks.{task}.{dataset}.methods names {row!r}; methods has {', '.join(self.methods)}"
                    )
        return self

    def _check_networks(self) -> None:
        """Refuse a task without its network, and a detector that is not for its data set."""
        above = [f"tasks.{task}" for task, _, _ in self.tasks.items() if network_of(task) == VOXELNET]
        if above and self.voxelnet is None:
            raise ValueError(f"{above[0]} stands on a VoxelNet; add the group voxelnet, with its grid at least")
        for dataset, options in self.tasks.detection.items():
            if self.voxelnet is not None and options.options.grid is not None:
                try:
                    map_size(self.voxelnet.network, options.options.grid)
                except ValueError as error:
                    raise ValueError(f"tasks.detection.{dataset}.options.grid: {error}") from None
            classes = BOX_CLASSES.get(self.datasets[dataset].format)
            if classes and (misfit := options.options.misfit(classes)):
                raise ValueError(f"tasks.detection.{dataset}.options.{misfit}")


def read_config(path: Path) -> Config:
    """Read and check a config file.

    Raises:
        ConfigError: see `read_values` and `parse_config`.
    """
    return parse_config(read_values(path), str(path))


def read_values(path: Path) -> dict[str, Any]:
    """Read a config file, or a part of one, without asking what its keys mean.

    Raises:
        ConfigError: the file is missing, or no YAML mapping of plain values in which each key stands once.
    """
    try:
        values = read_yaml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}\n  expected: a config file\n  found:    {reason_of(error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}\n  expected: keys and values\n  found:    {type(values).__name__}")
    return values


def parse_config(values: Mapping[str, Any], source: str) -> Config:
    """Check a config.

    Args:
        values: the content of the config file.
        source: the file's name, for messages.

    Raises:
        ConfigError: names each bad key, what it should be, the nearest valid key and the file.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(describe(error, Config, source)) from None
