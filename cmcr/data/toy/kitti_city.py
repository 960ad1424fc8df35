"""The toy city as KITTI's object benchmark, made drive by drive.

`write_drive` may run for several drives at once; `write_image_sets` then lists their frames. The bytes of a frame
depend on the options' seed and sizes and on its drive, never on other drives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cmcr.data.toy.kitti_writer import VERSION, write_frame
from cmcr.data.toy.recording import duration_s, record
from cmcr.data.toy.rig import KITTI
from cmcr.data.toy.scene import make_world, scene_generator
from cmcr.errors import ConfigError, DataError
from cmcr.files import exclusive, write_json, write_text
from cmcr.options import Options

#: Says that a folder holds a toy city, and of which options.
_MARK = "toy_city.json"


class ToyKittiOptions(Options):
    """Size and seed of the toy city in the format of KITTI's object benchmark."""

    seed: int = 0
    """Of streets, things, colours, weather and noise."""
    train_drives: Annotated[int, Field(ge=1)] = 8
    """Drives whose frames are the split train."""
    validation_drives: Annotated[int, Field(ge=1)] = 2
    """Drives whose frames are the split val."""
    frames: Annotated[int, Field(ge=1)] = 20
    """Frames of a drive, two a second."""
    image_size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (188, 621)
    """Height and width of the images in pixels; the field of view stays KITTI's. The benchmark's least heights of 2D
    boxes (40 and 25 pixels) are those of images of 375 x 1242: in smaller ones only nearer things count."""
    azimuth_steps: Annotated[int, Field(ge=8)] = 720
    """Columns of a LiDAR sweep, each of 64 beams."""

    @property
    def drives(self) -> range:
        """The drives to make, those of the split train first."""
        return range(self.train_drives + self.validation_drives)

    def frames_of(self, drive: int) -> list[str]:
        """Return the numbers of the frames of a drive, six digits each."""
        return [f"{number:06d}" for number in range(drive * self.frames, (drive + 1) * self.frames)]


def write_drive(options: ToyKittiOptions, drive: int, root: Path) -> None:
    """Render the frames of one drive.

    Raises:
        ConfigError: there is no such drive.
        DataError: ``root`` holds another data set.
    """
    if drive not in options.drives:
        raise ConfigError(f"the toy city has no drive {drive}\n  way out:  one of 0 to {options.drives[-1]}")
    _claim(root, options)
    name = f"kitti-drive-{drive}"
    world = make_world(options.seed, name, duration_s(options.frames))
    rng = scene_generator(options.seed, name, "sensors")
    keyframes = record(world, KITTI, options.frames, options.image_size, options.azimuth_steps, rng)
    for frame, keyframe in zip(options.frames_of(drive), keyframes, strict=True):
        write_frame(root, frame, keyframe, world)


def write_image_sets(options: ToyKittiOptions, root: Path) -> None:
    """List the frames of both splits, and of both together.

    Raises:
        DataError: ``root`` holds another data set, or a drive is not there.
    """
    _claim(root, options)
    drives = options.drives[: options.train_drives], options.drives[options.train_drives :]
    train, validation = ([frame for drive in part for frame in options.frames_of(drive)] for part in drives)
    for frame in (*train, *validation):
        labels = root / VERSION / "label_2" / f"{frame}.txt"
        if not labels.is_file():
            raise DataError.at(
                labels, expected="labels of every frame", found="no such file", fix="make its drive first"
            )
    for split, listed in (("train", train), ("val", validation), ("trainval", train + validation)):
        write_text(root / "ImageSets" / f"{split}.txt", "".join(f"{frame}\n" for frame in listed))


def _claim(root: Path, options: ToyKittiOptions) -> None:
    """Mark a new folder as a toy city's; refuse one that is not, or is one of other options: its frames would mix."""
    with exclusive(root):  # drives that start together
        mark, wanted = root / _MARK, options.model_dump(mode="json")
        if mark.exists():
            found = json.loads(mark.read_bytes())
            if found != wanted:
                expected = f"a toy city of {wanted}"
                raise DataError.at(mark, expected=expected, found=f"one of {found}", fix="delete the folder")
        elif (root / VERSION).exists() or (root / "ImageSets").exists():
            raise DataError.at(
                root,
                expected="a toy city or a new folder",
                found="a data set in KITTI's layout",
                fix="choose another folder for the toy city",
            )
        else:
            write_json(mark, wanted)
