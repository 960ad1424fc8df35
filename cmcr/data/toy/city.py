"""The toy city: a small procedural data set that needs no download, made scene by scene in the format of a real one.

`write_scene` may run for several scenes at once; `join_scenes` then puts their parts together. The bytes of a scene
depend on the format, the options' seed and sizes, and on its name, never on the other scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cmcr.data.toy.formats import FORMATS
from cmcr.data.toy.recording import duration_s, record
from cmcr.data.toy.scene import make_world, scene_generator
from cmcr.errors import ConfigError
from cmcr.files import write_json
from cmcr.options import Options

#: Recording time of the first scene, in microseconds since 1970, and the distance between scenes.
_FIRST_US, _BETWEEN_US = 1_704_067_200_000_000, 3_600_000_000

NUSCENES = "nuscenes"


class ToyCityOptions(Options):
    """Size and seed of the toy city."""

    seed: int = 0
    """Of streets, things, colours, weather and noise."""
    train_scenes: Annotated[int, Field(ge=1)] = 8
    """How many scenes of the training split to make: at most the eight of nuScenes' mini_train, SemanticKITTI's ten
    training sequences, or 40 drives of KITTI's object benchmark."""
    validation_scenes: Annotated[int, Field(ge=1)] = 2
    """How many scenes of the validation split to make: at most the two of nuScenes' mini_val, SemanticKITTI's one, or
    ten drives of KITTI's object benchmark."""
    keyframes: Annotated[int, Field(ge=1)] = 20
    """Keyframes of a scene, two a second."""
    image_size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (112, 200)
    """Height and width of the cameras' images in pixels; the fields of view stay those of the real vehicle, whose
    images have 900 x 1600 (nuScenes) or 375 x 1242 (KITTI). KITTI's least heights of 2D boxes (40 and 25 pixels) are
    those of whole images: in smaller ones only nearer things count."""
    azimuth_steps: Annotated[int, Field(ge=8)] = 360
    """Columns of a LiDAR sweep, each of 32 beams (nuScenes) or 64 (KITTI)."""

    def scene_names(self, format: str = NUSCENES) -> tuple[str, ...]:
        """Return the scenes to make, those of the training split first.

        Raises:
            ConfigError: the format has fewer scenes.
        """
        chosen = FORMATS[format]
        for name in ("train_scenes", "validation_scenes"):
            asked, there = getattr(self, name), len(getattr(chosen, name))
            if asked > there:
                raise ConfigError(f"toy.{name}: the splits of {format} have at most {there}, found {asked}")
        return chosen.train_scenes[: self.train_scenes] + chosen.validation_scenes[: self.validation_scenes]


def write_scene(options: ToyCityOptions, scene_name: str, root: Path, part: Path, format: str = NUSCENES) -> None:
    """Render one scene: its sensor and label files below ``root``, then, last, the rest of what it holds as ``part``.

    Raises:
        ConfigError: ``scene_name`` is none of the format's scenes.
        DataError: ``root`` holds another data set.
    """
    chosen = FORMATS[format]
    if scene_name not in chosen.scenes:
        raise ConfigError(f"the toy city has no scene {scene_name!r}\n  way out:  one of {', '.join(chosen.scenes)}")
    chosen.check_owner(root)
    start_us = _FIRST_US + chosen.scenes.index(scene_name) * _BETWEEN_US
    world = make_world(options.seed, scene_name, duration_s(options.keyframes))
    writer = chosen.writer(root, options.seed, scene_name, start_us, world)
    rng = scene_generator(options.seed, scene_name, "sensors")
    for number, keyframe in enumerate(
        record(world, chosen.rig, options.keyframes, options.image_size, options.azimuth_steps, rng)
    ):
        writer.add(number, keyframe)
    write_json(part, writer.finish())


def join_scenes(parts: Sequence[Path], root: Path, format: str = NUSCENES) -> None:
    """Put the parts of all scenes together below ``root``. Their order does not matter.

    Files that no part names, left by a killed run or by an earlier city with other options, are deleted.

    Raises:
        DataError: a part is missing or is none; ``root`` holds another data set.
    """
    FORMATS[format].check_owner(root)
    FORMATS[format].join(parts, root)
