"""What a run needs and does not find, all of it in one message before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cmcr.config import Config
from cmcr.data.presence import Use, find_absent, where_to_get
from cmcr.errors import MissingError
from cmcr.models.image_encoder import WHERE_TO_GET as WHERE_TO_GET_TEACHER
from cmcr.models.image_encoder import encoder_files
from cmcr.plan import Plan
from cmcr.waymo_environment import HOW_TO_MAKE


class Missing(NamedTuple):
    """A folder or file that is not there.

    Attributes:
        path: of it.
        found: what is wrong.
        key: the config key that names it.
        needed_by: the pre-training and the tables that wait for it.
        way_out: where to get it.
    """

    path: Path
    found: str
    key: str
    needed_by: tuple[str, ...]
    way_out: str


def absent_without_waymo(config: Config) -> dict[str, str]:
    """By id, toy cities that cannot be made without the environment of Waymo's package, and how to get it.

    They are left out of a run and its tables say why; real data that a config asks for must be there.
    """
    toys = [name for name, options in config.datasets.items() if options.format == "waymo" and options.toy]
    return dict.fromkeys(toys, HOW_TO_MAKE)


def refuse_missing(plan: Plan, source: str) -> None:
    """Refuse a run some of whose folders or files are not there.

    Args:
        plan: the run.
        source: name of the config file, for the message.

    Raises:
        MissingError: names each, who needs it, and where to get it.
    """
    missing = find_missing(plan)
    if missing:
        raise MissingError(as_text(missing, source))


def as_text(missing: Sequence[Missing], source: str) -> str:
    """Return the message."""
    lines = [f"{source}: what this run needs and does not find; relative paths count from {Path.cwd()}"]
    for path, found, key, needed_by, way_out in missing:
        lines += [
            f"  {path}: {found} (config key {key})",
            f"    needed by: {', '.join(needed_by)}",
            f"    get it:    {way_out}",
        ]
    lines.append("  way out:  correct these paths, or take what you do not have out of tasks, datasets and methods")
    return "\n".join(lines)


def find_missing(plan: Plan) -> list[Missing]:
    """Return what is not there: data sets in the order of the config, the image teacher, published weights."""
    return [*_data(plan), *_teacher(plan), *_weights(plan)]


def _data(plan: Plan) -> Iterator[Missing]:
    for name, options in plan.config.datasets.items():
        uses = list(_uses(plan, name))
        if options.root is None or not uses:
            continue
        format: str = options.format
        key, root = "root", options.root
        way_out = where_to_get(options.format, options.version)
        if options.tfrecords is not None:  # the run itself fills the root
            format, key, root = "tfrecords", "tfrecords", options.tfrecords
            way_out += f"; where {options.root} holds converted segments, take tfrecords out of the config"
        for path, found, needed_by in find_absent(format, options.version, root, uses):
            yield Missing(path, found, f"datasets.{name}.{key}", needed_by, way_out)


def _uses(plan: Plan, dataset: str) -> Iterator[Use]:
    """What the run takes from a data set; nothing of one that cannot be had here anyway."""
    config = plan.config
    if dataset in plan.absent:
        return
    splits = config.datasets[dataset].splits
    images = any(plan.classes[row].needs_images for row in plan.trained_rows) and config.datasets[dataset].has_cameras
    if dataset in config.pretrain.datasets and plan.trained_rows:
        yield Use(splits.train, "pre-training (and so every table)", images=images)
    if dataset == config.pretrain.datasets[0] and config.diagnostics is not None:
        yield Use(splits.train, "tables/diagnostics", images=True)
        yield Use(splits.validation, "tables/diagnostics", images=True)
    for task, of_dataset, _ in config.tasks.items():
        if of_dataset == dataset:
            for split in (splits.train, splits.validation):
                yield Use(split, f"tables/{task}", task)


def _teacher(plan: Plan) -> Iterator[Missing]:
    teacher = plan.config.teacher
    for path in _absent(encoder_files(teacher)):
        needed_by = "pre-training with images (and so every table)"
        yield Missing(path, "no such file", "teacher.weights", (needed_by,), WHERE_TO_GET_TEACHER[teacher.kind])


def _weights(plan: Plan) -> Iterator[Missing]:
    for row, options in plan.config.methods.items():
        for path in _absent([options.weights] if options.weights is not None else []):
            needed_by = f"row {plan.labels[row]} of every table"
            yield Missing(path, "no such file", f"methods.{row}.weights", (needed_by,), "its authors")


def _absent(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if not path.is_file())
