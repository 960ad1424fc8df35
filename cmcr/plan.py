"""What a run consists of: which methods, which jobs, and the recipe that each job gets. It knows no output file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from cmcr.config import Config, MethodOptions, PretrainOptions
from cmcr.config_errors import describe
from cmcr.config_tasks import DetectionTaskOptions, FinetuneOptions, TaskOptions
from cmcr.data.augment import PointAugmentation
from cmcr.data.superpixels import SuperpixelOptions
from cmcr.diagnostics.job import DiagnoseJob
from cmcr.errors import ConfigError, PluginError, WeightsError
from cmcr.models.backbone import (
    MINKUNET,
    NETWORKS,
    NO_DATASET,
    PUBLISHED_DATASET,
    Grid,
    NetworkName,
    NetworkOptions,
)
from cmcr.options import Options
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.method import PretrainMethod, Setting
from cmcr.pretrain.plugins import find_plugins, load_plugin_file, plugin_file, reason_against
from cmcr.pretrain.published import PUBLISHED_FILE, ImportJob
from cmcr.pretrain.views import Shows
from cmcr.recipe import Recipe
from cmcr.results.summary import AbsentDataset
from cmcr.tasks.job import FinetuneJob, Protocol
from cmcr.tasks.registry import network_of

_NO_TRAINING = PretrainOptions(dataset=NO_DATASET, recipe=Recipe(epochs=1, batch_size=1))


class Run(NamedTuple):
    """One fine-tuning and its scores."""

    task: str
    dataset: str
    pretrain_dataset: str
    method: str
    protocol: Protocol
    percent: float
    seed: int

    @property
    def network(self) -> NetworkName:
        """The 3D network that is fine-tuned."""
        return network_of(self.task)


class Network(NamedTuple):
    """One 3D network of a run, and how it is pre-trained."""

    backbone: NetworkOptions
    grid: Grid
    how: PretrainOptions


@dataclass(frozen=True)
class Plan:
    """A checked config with its methods loaded.

    Attributes:
        config: the run.
        plugins: file of each row's plug-in.
        classes: class of each row's method.
        labels: name of each row for print, in the order of the tables.
        reasons: by each 3D network of the run, why rows do not apply to it; they are not run with it, and their cells
            are n/a for that reason.
        absent: why a data set cannot be had here; no task is run on it, and its columns are n/a for that reason.
    """

    config: Config
    plugins: dict[str, Path]
    classes: dict[str, type[PretrainMethod]]
    labels: dict[str, str]
    reasons: dict[NetworkName, dict[str, str]]
    absent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, source: str, absent: Mapping[str, str] | None = None) -> Plan:
        """Load the methods of ``config``, and check their options and every recipe.

        Raises:
            ConfigError: a method is missing or broken, or its options or a recipe's replaced fields are wrong; the data
                set of pre-training cannot be had here, or those of all tasks cannot.
        """
        with _naming(f"{source}: plugin_dirs"):
            found = find_plugins(config.plugin_dirs)
        plugins, classes = {}, {}
        for row, options in config.methods.items():
            with _naming(f"{source}: methods.{row}"):
                trained_here = options.plugin or options.weights is None
                plugins[row] = plugin_file(options.plugin or row, found) if trained_here else PUBLISHED_FILE
                classes[row] = load_plugin_file(plugins[row])
        labels = {row: _label(row, options, classes[row]) for row, options in config.methods.items()}
        cameras = any(config.datasets[dataset].has_cameras for dataset in config.pretrain.datasets)
        reasons: dict[NetworkName, dict[str, str]] = {}
        for network in _networks(config):
            setting, reasons[network] = Setting(network, config.pretrain.dataset, cameras), {}
            for row, method in classes.items():
                with _naming(f"{source}: methods.{row}"):
                    if reason := _published_elsewhere(config.methods[row], network) or reason_against(method, setting):
                        reasons[network][row] = reason
        plan = cls(config, plugins, classes, labels, reasons, dict(absent or {}))
        plan._check(source)
        return plan

    def _check(self, source: str) -> None:
        """Try every option and every replaced field, so that no mistake waits until its turn comes."""
        needed = [("pretrain.dataset", dataset) for dataset in self.config.pretrain.datasets]
        if not any(True for _ in self._present()):
            needed += [(f"tasks.{task}", dataset) for task, dataset, _ in self.config.tasks.items()]
        for key, dataset in needed:
            if dataset in self.absent:
                raise ConfigError(f"{source}: {key}: {dataset} cannot be had here: {self.absent[dataset]}")
        for row, method in self.config.methods.items():
            with _naming(f"{source}: methods.{row}.options", self.classes[row].Options):
                self.classes[row].Options.model_validate(method.options)
            for network in self.networks:
                how = self.network(network, source).how
                with _naming(f"{source}: methods.{row}.recipe", Recipe):
                    recipe = how.recipe.merged_with(method.recipe)
                if self.classes[row].pretrains and method.weights is None:
                    at = f"methods.{row}" if "batch_size" in method.recipe else "pretrain"
                    self._check_batch(f"{source}: {at}.recipe", recipe)
                with _naming(f"{source}: methods.{row}.augmentation", PointAugmentation):
                    how.augmentation.merged_with(method.augmentation)
            if method.weights is not None and not self.classes[row].pretrains:
                raise ConfigError(f"{source}: methods.{row}: weights for {method.plugin}, which does not pre-train")
        for task, dataset, options in self.config.tasks.items():
            finetune = options.finetune
            if options.linear_probe is not None:
                where = f"{source}: tasks.{task}.{dataset}.linear_probe.recipe"
                self._check_batch(where, options.linear_probe.recipe)
            if finetune is not None:
                where = f"{source}: tasks.{task}.{dataset}.finetune"
                self._check_batch(f"{where}.recipe", finetune.recipe)
                replaced = {
                    f"{where}.recipe_by_percent.{percent:g}": fields
                    for percent, fields in finetune.recipe_by_percent.items()
                } | {f"{where}.recipe_without_pretraining": finetune.recipe_without_pretraining}
                for place, fields in replaced.items():
                    with _naming(place, Recipe):
                        recipe = finetune.recipe.merged_with(fields)
                    self._check_batch(place, recipe)

    def _check_batch(self, where: str, recipe: Recipe) -> None:
        try:
            self.config.compute.check_batch(recipe, where)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    @property
    def networks(self) -> list[NetworkName]:
        """The 3D networks of the run."""
        return list(self.reasons)

    @property
    def rows(self) -> list[str]:
        """The rows that are run with some network, in the order of the tables."""
        return [row for row in self.config.methods if any(row in self.rows_on(network) for network in self.networks)]

    def rows_on(self, network: NetworkName) -> list[str]:
        """The rows that are run with one network; none where the run does not have it.

        Of the first network those are all that apply, because what they learn is looked at without a task, too; of
        another one those that a task asks for.
        """
        asked = [options.methods for task, _, options in self.config.tasks.items() if network_of(task) == network]
        every = network == MINKUNET or None in asked
        wanted = self.config.methods if every else {row for rows in asked for row in rows or ()}
        against = self.reasons.get(network, self.config.methods)
        return [row for row in self.config.methods if row in wanted and row not in against]

    def reasons_for(self, task: str) -> dict[str, str]:
        """By row, why it has no numbers of a task."""
        return self.reasons[network_of(task)]

    @property
    def compared(self) -> dict[str, str]:
        """Labels of the rows that the tables and figures of the tasks compare: all but the ablations."""
        return {row: label for row, label in self.labels.items() if self.config.methods[row].ablation_of is None}

    def compared_on(self, task: str | None = None, dataset: str | None = None) -> dict[str, str]:
        """Those of `compared` that some task is to run; with names, that task, on that data set."""
        asked = [
            options.methods or self.config.methods
            for of_task, of_dataset, options in self.config.tasks.items()
            if task in (None, of_task) and dataset in (None, of_dataset)
        ]
        return {row: label for row, label in self.compared.items() if any(row in rows for rows in asked)}

    @property
    def ablations(self) -> dict[str, list[str]]:
        """By each row with ablations, these and the row itself, in the order of the config, if they are run."""
        bases = {row: self.config.methods[row].ablation_of or row for row in self.rows}
        ladders: dict[str, list[str]] = {}
        for row, base in bases.items():
            ladders.setdefault(base, []).append(row)
        return {base: rows for base, rows in ladders.items() if rows != [base]}

    @property
    def trained_rows(self) -> list[str]:
        """Those of `rows` that this run pre-trains itself."""
        return [row for row in self.rows if self.classes[row].pretrains and self.config.methods[row].weights is None]

    def trained_on(self, network: NetworkName) -> list[str]:
        """Those of `rows_on` a network that this run pre-trains itself."""
        rows = self.rows_on(network)
        return [row for row in self.trained_rows if row in rows]

    def weight_files(self) -> dict[str, Path]:
        """Return the file of each row with published weights.

        Raises:
            WeightsError: a file is not there.
        """
        files = {row: options.weights for row, options in self.config.methods.items() if options.weights is not None}
        for row, path in files.items():
            if not path.is_file():
                raise WeightsError(
                    f"{path}: no such file (config key methods.{row}.weights)\n"
                    "  way out:  get it from its authors, or correct the path; it counts from where Snakemake runs"
                )
        return files

    def pretrain_dataset(self, method: str) -> str:
        """Id of the data set that ``method`` is pre-trained on, `NO_DATASET` if on none."""
        options = self.config.methods[method]
        if options.weights is not None:
            return options.pretrain_dataset or PUBLISHED_DATASET
        return self.config.pretrain.dataset if self.classes[method].pretrains else NO_DATASET

    def network(self, name: NetworkName, source: str = "the config") -> Network:
        """Return one of the run's 3D networks.

        Raises:
            ConfigError: the fields that are replaced for it are wrong.
        """
        config = self.config
        if name == MINKUNET:
            return Network(config.backbone, config.voxels, config.pretrain)
        group = config.voxelnet
        if group is None:
            raise ValueError("this run has no voxelnet")
        with _naming(f"{source}: voxelnet.recipe", Recipe):
            recipe = config.pretrain.recipe.merged_with(group.recipe)
        with _naming(f"{source}: voxelnet.augmentation", PointAugmentation):
            augmentation = config.pretrain.augmentation.merged_with(group.augmentation)
        replaced = {"recipe": recipe, "augmentation": augmentation, "superpixels": group.superpixels}
        return Network(group.network, group.grid, config.pretrain.model_copy(update=replaced))

    def superpixels(self, network: NetworkName) -> SuperpixelOptions:
        """How images are cut for the pre-training of a network."""
        return self.network(network).how.superpixels

    def pretrain_job(self, method: str, seed: int, network: NetworkName = MINKUNET) -> PretrainJob:
        """Describe one pre-training; without training, the job does not depend on how others train."""
        config, options = self.config, self.config.methods[method]
        (backbone, grid, how), compute = self.network(network), config.compute
        if not self.classes[method].pretrains:
            how, compute = _NO_TRAINING, compute.model_copy(update={"devices": 1})
        return PretrainJob(
            method=method,
            options=self.classes[method].Options.model_validate(options.options).model_dump(mode="json"),
            seed=seed,
            backbone=backbone,
            voxels=grid,
            recipe=how.recipe.merged_with(options.recipe),
            augmentation=how.augmentation.merged_with(options.augmentation),
            images=how.images,
            superpixels=how.superpixels if self.classes[method].needs_superpixels else None,
            compute=compute,
        )

    def shows(self, method: str) -> Shows:
        """What ``method`` can show of itself on scans it never saw, with its options in this config."""
        options = self.config.methods[method]
        if options.weights is not None:  # a backbone alone
            return Shows()
        return self.classes[method].shows(self.classes[method].Options.model_validate(options.options))

    def import_job(self, method: str, seed: int) -> ImportJob:
        """Describe the import of one row's published weights."""
        return ImportJob(
            method=method,
            dataset=self.pretrain_dataset(method),
            seed=seed,
            backbone=self.config.backbone,
            voxels=self.config.voxels,
            trained_voxels=self.config.methods[method].trained_voxels,
        )

    def runs(self) -> Iterator[Run]:
        """Yield every fine-tuning of the run."""
        for task, dataset, options in self._present():
            for protocol, percent in _settings(options):
                for method in self._asked(task, options):
                    for seed in self.config.seeds:
                        yield Run(task, dataset, self.pretrain_dataset(method), method, protocol, percent, seed)

    def _asked(self, task: str, options: TaskOptions) -> list[str]:
        """The rows that a task runs."""
        return [row for row in self.rows_on(network_of(task)) if options.methods is None or row in options.methods]

    def _present(self) -> Iterator[tuple[str, str, TaskOptions]]:
        """Yield (task, data set, options) of everything that can be run here."""
        return (item for item in self.config.tasks.items() if item[1] not in self.absent)

    def absent_columns(self, task: str) -> dict[str, AbsentDataset]:
        """By each data set of a task that cannot be had here, why, and what would be run on it."""
        return {
            dataset: AbsentDataset(self.absent[dataset], _settings(options))
            for of_task, dataset, options in self.config.tasks.items()
            if of_task == task and dataset in self.absent
        }

    def finetune_job(self, run: Run) -> FinetuneJob:
        """Describe one fine-tuning."""
        config, pretrains = self.config, self.classes[run.method].pretrains
        options = getattr(config.tasks, run.task)[run.dataset]
        protocol = options.linear_probe if run.protocol == "linear_probe" else options.finetune
        (backbone, grid, _), recipe = self.network(run.network), protocol.recipe
        if isinstance(options, DetectionTaskOptions):
            grid = options.options.grid or grid
        if isinstance(protocol, FinetuneOptions):
            momentum = protocol.batch_norm_momentum or backbone.batch_norm_momentum
            backbone = backbone.model_copy(update={"batch_norm_momentum": momentum})
            recipe = recipe.merged_with(protocol.recipe_by_percent.get(run.percent, {}))
            recipe = recipe.merged_with({} if pretrains else protocol.recipe_without_pretraining)
        return FinetuneJob(
            task=run.task,  # type: ignore[arg-type]  # a field of Tasks
            options=own.model_dump(mode="json") if (own := getattr(options, "options", None)) else {},
            dataset=run.dataset,
            toy=config.datasets[run.dataset].toy is not None,
            pretrain_dataset=run.pretrain_dataset,
            method=run.method,
            protocol=run.protocol,
            label_percent=run.percent,
            seed=run.seed,
            backbone=backbone,
            voxels=grid,
            recipe=recipe,
            augmentation=protocol.augmentation,
            batch_norm=self.classes[run.method].probe_batch_norm if run.protocol == "linear_probe" else ("stored",),
            compute=config.compute,
        )

    def diagnose_job(self, method: str, seed: int) -> DiagnoseJob:
        """Describe one look into a pre-trained backbone."""
        config = self.config
        if config.diagnostics is None:
            raise ValueError("this run has no diagnostics")
        return DiagnoseJob(
            dataset=config.pretrain.datasets[0],
            toy=config.datasets[config.pretrain.datasets[0]].toy is not None,
            pretrain_dataset=self.pretrain_dataset(method),
            method=method,
            seed=seed,
            backbone=config.backbone,
            voxels=config.voxels,
            images=config.pretrain.images,
            teacher=config.teacher,
            options=config.diagnostics,
            compute=config.compute,
        )


def _networks(config: Config) -> list[NetworkName]:
    """The 3D networks that a run needs: those of its tasks; without any, the one whose features are looked at."""
    asked = {network_of(task) for task, _, _ in config.tasks.items()}
    if config.diagnostics is not None or not asked:
        asked.add(MINKUNET)
    return [network for network in NETWORKS if network in asked]


def _published_elsewhere(options: MethodOptions, network: NetworkName) -> str | None:
    """Why published weights do not apply to a network, None if they do."""
    if options.weights is None or network == MINKUNET:
        return None
    return f"published weights are those of a {MINKUNET}, not of a {network}"


def _settings(options: TaskOptions) -> list[tuple[Protocol, float]]:
    """Protocol and share of the labels of everything that is run on a task's data set."""
    settings: list[tuple[Protocol, float]] = []
    if options.linear_probe is not None:
        settings.append(("linear_probe", 100.0))
    if options.finetune is not None:
        settings += [("finetune", percent) for percent in options.finetune.label_percents]
    return settings


def _label(row: str, options: MethodOptions, method: type[PretrainMethod]) -> str:
    """Name of a row for print; without one in the config, published weights must not pass for our own training."""
    if options.label is not None:
        return options.label
    if options.weights is None:
        return method.label
    return f"{method.label} (published)" if options.plugin else row


@contextmanager
def _naming(where: str, group: type[BaseModel] = Options) -> Iterator[None]:
    """Turn what is wrong inside the block with ``group`` or a plug-in into an error that begins with ``where``."""
    try:
        yield
    except PluginError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ValidationError as error:
        raise ConfigError(describe(error, group, where)) from None
