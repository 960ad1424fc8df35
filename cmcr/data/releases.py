"""Data sets in SemanticKITTI's format and its relatives, each described by a small file of ``label_maps/``.

A file says where points, labels and images lie, how a point is stored, which scenes a split has, and which annotated
ids make up each class. A data set that differs only in these is a file more, and no code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, ValidationError, model_validator

from cmcr.config_errors import describe
from cmcr.errors import ConfigError, DataError
from cmcr.options import Options
from cmcr.reading import reason_of
from cmcr.yaml_files import read_yaml

FOLDER = Path(__file__).with_name("label_maps")

#: Entry of `Release.table` for ids that a data set does not have.
UNKNOWN = 255

_ID_LIMIT = 2**15


class PointFiles(Options):
    """Files of points: x, y, z in metres and an intensity first."""

    folder: str
    """Below the data set's root; ``{scene}`` stands for the scene."""
    suffix: Literal[".bin", ".npy"] = ".bin"
    """Float32 without a header, or a numpy array."""
    columns: Annotated[int, Field(ge=4)] = 4
    """Numbers a point, of which the first four are read."""
    intensity_max: PositiveFloat = 1.0
    """What a full intensity is; it is divided by this."""


class LabelFiles(Options):
    """Files of labels, named as those of the points."""

    folder: str
    """As that of the points."""
    suffix: Literal[".label", ".npy"] = ".label"
    """One uint32 a point, id in its lower and instance in its upper 16 bits; or a numpy array of ids."""
    folder_by_split: Mapping[str, str] = {}
    """Folder of the splits whose labels lie elsewhere."""


class Release(Options):
    """One data set."""

    title: str
    """Its name in print."""
    source: str | None = None
    """Where to get it."""
    points: PointFiles
    """Where its points are, and how they are stored."""
    labels: LabelFiles
    """Where their labels are."""
    images: str | None = None
    """Folder of its one camera's images, named as the points; null where it has none that are read."""
    calibration: str | None = None
    """Folder of each scene's calib.txt, poses.txt and times.txt in KITTI's odometry format."""
    splits: Mapping[str, tuple[str, ...] | str]
    """The scenes of each split, in order; or the name of a file below the root that lists its scans."""
    scenes_may_be_missing: bool = False
    """Whether a split may be here in part, with a warning."""
    classes: Mapping[str, Mapping[int, str]]
    """Of each class, in order, the annotated ids and their names; predictions are written as the first id. The first
    class is the one that takes part in neither loss nor metric."""
    things: tuple[str, ...] = ()
    """Classes whose instances are told apart."""

    @model_validator(mode="after")
    def _consistent(self) -> Release:
        ids = [number for members in self.classes.values() for number in members]
        twice = sorted({number for number in ids if ids.count(number) > 1})
        if twice:
            raise ValueError(f"classes: id {twice[0]} belongs to two classes")
        if ids and not 0 <= min(ids) <= max(ids) < _ID_LIMIT:
            raise ValueError(f"classes: ids from 0 to {_ID_LIMIT - 1}, found {min(ids)} to {max(ids)}")
        if not 2 <= len(self.classes) <= UNKNOWN or not all(self.classes.values()):
            raise ValueError(f"classes: expected 2 to {UNKNOWN} classes, each with an id")
        # The first class is number 0, `cmcr.data.scan.IGNORE`.
        if next(iter(self.classes)) != "ignore":
            raise ValueError("classes: expected the first to be 'ignore'")
        for name in self.things:
            if name not in self.classes:
                raise ValueError(f"things: {name} is no class")
        scenes = [scene for split in self.splits.values() if not isinstance(split, str) for scene in split]
        for name in (*self.classes, *self.splits, *scenes):
            if not name.isprintable() or not name.strip():
                raise ValueError(f"{name!r}: expected a name of printable characters")
        folders = [self.points.folder, self.labels.folder, *self.labels.folder_by_split.values()]
        folders += [folder for folder in (self.images, self.calibration) if folder is not None]
        lists = [split for split in self.splits.values() if isinstance(split, str)]
        for path in (*folders, *lists, *scenes):
            bare = path.replace("{scene}", "") if path in folders else path
            if path.startswith("/") or ".." in path.split("/") or not path.isprintable() or set(bare) & set("{}"):
                raise ValueError(f"{path!r}: expected a path below the data set's root, braces only around {{scene}}")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; a class's number is its place."""
        return tuple(self.classes)

    @property
    def thing_classes(self) -> tuple[int, ...]:
        """Numbers of `things`, rising."""
        return tuple(number for number, name in enumerate(self.classes) if name in self.things)

    @cached_property
    def table(self) -> NDArray[np.uint8]:
        """(65536,) class of each id that 16 bits can hold, `UNKNOWN` where the data set has no such id."""
        table = np.full(2**16, UNKNOWN, dtype=np.uint8)
        for number, members in enumerate(self.classes.values()):
            table[list(members)] = number
        return table

    @cached_property
    def id_of_class(self) -> NDArray[np.uint32]:
        """(K,) id that a prediction of each class is written as."""
        return np.array([next(iter(members)) for members in self.classes.values()], dtype=np.uint32)

    def label_folder(self, split: str) -> str:
        """Folder of a split's labels, with ``{scene}`` in it."""
        return self.labels.folder_by_split.get(split, self.labels.folder)

    def folders(self, split: str) -> list[str]:
        """Return what a split is made of, below the root: folders of its scenes, or the file that lists its scans."""
        scenes = self.splits[split]
        if isinstance(scenes, str):
            return [scenes]
        kinds = [self.points.folder, self.label_folder(split), *([self.images] if self.images else [])]
        return [kind.format(scene=scene) for scene in scenes for kind in kinds]

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with the description of what is on disk."""
        return hashlib.sha256(self.model_dump_json(exclude={"source"}).encode()).hexdigest()[:8]


def release_names() -> list[str]:
    """Return the names of the data sets that are described here."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load_release(version: str) -> Release:
    """Return the description named ``version``: one of `release_names`, or the path of a file of one's own.

    Raises:
        ConfigError: there is none, or the file does not describe a data set.
    """
    path = Path(version) if version.endswith(".yaml") else FOLDER / f"{version}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"no data set {version!r} in SemanticKITTI's format\n"
            f"  way out:  one of {', '.join(release_names())}, or the path of a file (.yaml) that describes yours"
        )
    try:
        return Release.model_validate(_read(path))
    except ValidationError as error:
        raise ConfigError(describe(error, Release, str(path))) from None


def _read(path: Path) -> dict[str, Any]:
    """Return the fields of a file, over those of the file that it is based on."""
    try:
        fields = read_yaml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}\n  expected: YAML\n  found:    {reason_of(error)}") from None
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}\n  expected: the description of a data set\n  found:    {type(fields).__name__}")
    base = fields.pop("based_on", None)
    if base is not None and base not in release_names():
        raise ConfigError(
            f"{path}\n  expected: based_on one of {', '.join(release_names())}\n  found:    {str(base)[:80]!r}"
        )
    return fields if base is None else {**_read(FOLDER / f"{base}.yaml"), **fields}


def layout_of(version: str) -> str:
    """Return how a scan of ``version`` is to be read, as its record says it: version and digest of its description."""
    return f"{version}@{load_release(version).digest}"


def release_of(layout: str | None) -> Release:
    """Return the description that `layout_of` named.

    Raises:
        DataError: there is none any more, or it was changed since.
    """
    version, _, digest = (layout or "").rpartition("@")
    try:
        release = load_release(version)
    except ConfigError as error:
        raise DataError(str(error)) from None
    if release.digest != digest:
        raise DataError(
            f"the index was made with another description of {version}\n  expected: one with digest {release.digest}\n"
            f"  found:    {digest}\n  way out:  make the index again"
        )
    return release
