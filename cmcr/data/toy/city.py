"""The toy city: a small procedural nuScenes that needs no download, made scene by scene.

`write_scene` may run for several scenes at once; `write_tables` then puts their parts together. The bytes of a scene
depend on the options' seed and sizes and on its name, never on the other scenes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cmcr.data.nuscenes_tables import LABEL_TABLES
from cmcr.data.toy.nuscenes_format import (
    DESCRIPTION,
    TABLES,
    TRAIN_SCENES,
    VALIDATION_SCENES,
    VERSION,
    shared_tables,
)
from cmcr.data.toy.nuscenes_writer import NuScenesWriter
from cmcr.data.toy.recording import duration_s, record
from cmcr.data.toy.rig import NUSCENES, WAYMO
from cmcr.data.toy.scene import make_world, scene_generator
from cmcr.data.toy.waymo_writer import WaymoWriter
from cmcr.errors import ConfigError, DataError
from cmcr.files import write_json
from cmcr.options import Options

#: Recording time of the first scene, in microseconds since 1970, and the distance between scenes.
_FIRST_US, _BETWEEN_US = 1_704_067_200_000_000, 3_600_000_000

_AGAIN = "delete it and make the scene again"


class ToyCityOptions(Options):
    """Size and seed of the toy city."""

    seed: int = 0
    """Of streets, things, colours, weather and noise."""
    train_scenes: Annotated[int, Field(ge=1, le=len(TRAIN_SCENES))] = 8
    """How many of the eight scenes of the split mini_train to make."""
    validation_scenes: Annotated[int, Field(ge=1, le=len(VALIDATION_SCENES))] = 2
    """How many of the two scenes of the split mini_val to make."""
    keyframes: Annotated[int, Field(ge=1)] = 20
    """Keyframes of a scene, two a second."""
    image_size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (112, 200)
    """Height and width of the six cameras' images in pixels; the fields of view stay those of nuScenes."""
    azimuth_steps: Annotated[int, Field(ge=8)] = 360
    """Columns of a LiDAR sweep, each of 32 beams."""

    @property
    def scene_names(self) -> tuple[str, ...]:
        """The scenes to make, those of the training split first."""
        return TRAIN_SCENES[: self.train_scenes] + VALIDATION_SCENES[: self.validation_scenes]


def write_scene(options: ToyCityOptions, scene_name: str, root: Path, part: Path) -> None:
    """Render one scene: its sensor and label files below ``root``, then, last, its records of all tables as ``part``.

    Raises:
        ConfigError: ``scene_name`` is not one of nuScenes' mini scenes.
        DataError: ``root`` holds another data set.
    """
    start_us = _start_us(scene_name)
    _check_owner(root)
    world = make_world(options.seed, scene_name, duration_s(options.keyframes))
    writer = NuScenesWriter(root, options.seed, scene_name, start_us, world)
    rng = scene_generator(options.seed, scene_name, "sensors")
    for number, keyframe in enumerate(
        record(world, NUSCENES, options.keyframes, options.image_size, options.azimuth_steps, rng)
    ):
        writer.add(number, keyframe)
    write_json(part, writer.finish())


def render_drive(options: ToyCityOptions, scene_name: str, output: Path) -> None:
    """Render one scene as a vehicle of Waymo's sees it, into the folder of ``output``, which is written last.

    Raises:
        ConfigError: ``scene_name`` is not one of nuScenes' mini scenes.
    """
    start_us = _start_us(scene_name)
    world = make_world(options.seed, scene_name, duration_s(options.keyframes))
    writer = WaymoWriter(output.parent, f"toy-{options.seed}-{scene_name}", start_us, world, options.azimuth_steps)
    rng = scene_generator(options.seed, scene_name, "waymo sensors")
    drive = record(world, WAYMO, options.keyframes, options.image_size, options.azimuth_steps, rng)
    for number, keyframe in enumerate(drive):
        writer.add(number, keyframe)
    writer.finish(output)


def _start_us(scene_name: str) -> int:
    known = TRAIN_SCENES + VALIDATION_SCENES
    if scene_name not in known:
        raise ConfigError(f"the toy city has no scene {scene_name!r}\n  way out:  one of {', '.join(known)}")
    return _FIRST_US + known.index(scene_name) * _BETWEEN_US


def write_tables(parts: Sequence[Path], root: Path) -> None:
    """Put the parts of all scenes and the shared records together: the tables in ``root``/v1.0-mini.

    The order of ``parts`` does not matter. Label files that no part names, left by a killed run or by an earlier city
    with other options, are deleted: the devkit would count them and refuse the folder.

    Raises:
        DataError: a part is missing or is none; ``root`` holds another data set.
    """
    _check_owner(root)
    scenes = sorted((_read_part(part) for part in parts), key=lambda tables: tables["scene"][0]["name"])
    shared = shared_tables()
    for table in TABLES:
        records = shared.get(table, []) + [record for tables in scenes for record in tables[table]]
        if table in LABEL_TABLES:
            _delete_unnamed(root / table / VERSION, {Path(record["filename"]).name for record in records})
        write_json(root / VERSION / f"{table}.json", records)


def _check_owner(root: Path) -> None:
    """Refuse to write into anything but a toy city or a folder without tables."""
    table = root / VERSION / "scene.json"
    if table.exists():
        foreign = [scene["name"] for scene in json.loads(table.read_bytes()) if scene["description"] != DESCRIPTION]
        if foreign:
            raise DataError.at(
                root,
                expected="a toy city or a new folder",
                found=f"a data set with {foreign[0]}",
                fix="choose another folder for the toy city",
            )


def _delete_unnamed(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _read_part(part: Path) -> dict:
    try:
        tables = json.loads(part.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError.at(
            part, expected="the tables of a toy scene", found=str(error), fix="delete it and run again"
        ) from None
    if not isinstance(tables, dict) or set(tables) != set(TABLES):
        raise DataError.at(part, expected="the tables of a toy scene", found="something else", fix=_AGAIN)
    return tables
