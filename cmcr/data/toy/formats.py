"""The formats that the toy city is written in: one writer each, and this table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cmcr.data import waymo_names
from cmcr.data.kitti_names import frame_paths
from cmcr.data.nuscenes_tables import LABEL_TABLES
from cmcr.data.toy import kitti_writer, nuscenes_format, semantic_kitti_writer
from cmcr.data.toy.kitti_writer import KittiWriter
from cmcr.data.toy.nuscenes_format import DESCRIPTION, TABLES
from cmcr.data.toy.nuscenes_writer import NuScenesWriter
from cmcr.data.toy.recording import Keyframe
from cmcr.data.toy.rig import KITTI, NUSCENES, SEMANTIC_KITTI, WAYMO, Rig
from cmcr.data.toy.semantic_kitti_writer import SemanticKittiWriter
from cmcr.data.toy.waymo_writer import WaymoWriter
from cmcr.data.toy.world import World
from cmcr.errors import DataError
from cmcr.files import write_json, write_text
from cmcr.reading import parse_json, read_bytes

Part = dict[str, Any]

#: Files in the root of a city without tables: one that names its scenes, and an empty one that says whose it is.
CITY, OWNER = "toy_city.json", ".toy_city"

_AGAIN = "delete it and make the scene again"


class Writer(Protocol):
    """Writes one scene. It is made with the root, the city's seed, the scene's name, its start in us, and its world."""

    def add(self, number: int, keyframe: Keyframe) -> None:
        """Write keyframe ``number``; keyframes come in order."""
        ...

    def finish(self) -> Part:
        """Write what is left and return the scene's part, which goes into a file of its own."""
        ...


@dataclass(frozen=True)
class Format:
    """How a city is written.

    Attributes:
        rig: the recording vehicle.
        version: the name that the format's own index knows the city's release by.
        train_split, validation_split: names of its splits.
        train_scenes, validation_scenes: names of the scenes that the splits can have, in the order they are made.
        writer: of a scene.
        check_owner: refuses a root that holds another data set.
        join: puts the parts of all scenes together below the root, and deletes what no part names.
    """

    rig: Rig
    version: str
    train_split: str
    validation_split: str
    train_scenes: tuple[str, ...]
    validation_scenes: tuple[str, ...]
    writer: Callable[[Path, int, str, int, World], Writer]
    check_owner: Callable[[Path], None]
    join: Callable[[Sequence[Path], Path], None]

    @property
    def scenes(self) -> tuple[str, ...]:
        """All scenes that can be made."""
        return self.train_scenes + self.validation_scenes


def read_part(path: Path, keys: set[str]) -> Part:
    """Read what `Writer.finish` returned, with these ``keys``.

    Raises:
        DataError: the file is missing or holds something else.
    """
    try:
        part = parse_json(read_bytes(path))
    except (OSError, ValueError) as error:
        raise DataError.at(
            path, expected="a part of a toy city", found=str(error), fix="delete it and run again"
        ) from None
    if not isinstance(part, dict) or set(part) != keys:
        raise DataError.at(path, expected="a part of a toy city in this format", found="something else", fix=_AGAIN)
    return part


def _foreign(root: Path, found: str) -> DataError:
    return DataError.at(
        root, expected="a toy city or a new folder", found=found, fix="choose another folder for the toy city"
    )


def check_nuscenes_owner(root: Path) -> None:
    """Refuse tables that are not a toy city's."""
    table = root / nuscenes_format.VERSION / "scene.json"
    if table.exists():
        try:
            scenes = [(scene["name"], scene["description"]) for scene in parse_json(read_bytes(table))]
        except (OSError, ValueError, KeyError, TypeError):
            raise _foreign(root, f"a {table.name} that holds no scenes") from None
        foreign = [name for name, description in scenes if description != DESCRIPTION]
        if foreign:
            raise _foreign(root, f"a data set with {foreign[0]}")


def join_nuscenes(parts: Sequence[Path], root: Path) -> None:
    """Write the tables; delete label files that no part names: the devkit would count them and refuse the folder."""
    scenes = sorted((read_part(part, set(TABLES)) for part in parts), key=lambda tables: tables["scene"][0]["name"])
    shared = nuscenes_format.shared_tables()
    for table in TABLES:
        records = shared.get(table, []) + [record for tables in scenes for record in tables[table]]
        if table in LABEL_TABLES:
            named = {Path(record["filename"]).name for record in records}
            for path in (root / table / nuscenes_format.VERSION).iterdir():
                if path.name not in named:
                    path.unlink()
        write_json(root / nuscenes_format.VERSION / f"{table}.json", records)


def check_folders_owner(root: Path) -> None:
    """Refuse sequences beside which nothing says that they are a toy city's."""
    if (root / "sequences").is_dir() and not (root / OWNER).is_file():
        raise _foreign(root, "sequences that no toy city wrote")


def claim_folder(root: Path) -> None:
    """Say that what is about to be written below ``root`` is a toy city's."""
    root.mkdir(parents=True, exist_ok=True)
    (root / OWNER).touch()  # several scenes may do so at once


def join_folders(parts: Sequence[Path], root: Path) -> None:
    """Delete the folders of scenes that no part names, and say which there are."""
    scans = {part["scene"]: part["scans"] for part in (read_part(path, {"scene", "scans"}) for path in parts)}
    for folder in (root / "sequences").iterdir():
        if folder.name not in scans:
            shutil.rmtree(folder)
    write_json(root / CITY, {"description": DESCRIPTION, "scans": scans})


def check_drives_owner(root: Path) -> None:
    """Refuse segments beside which nothing says that they are a toy city's."""
    if any((root / folder).is_dir() for folder in waymo_names.FOLDERS) and not (root / OWNER).is_file():
        raise _foreign(root, "segments that no toy city wrote")


def join_drives(parts: Sequence[Path], root: Path) -> None:
    """Delete drives and converted segments that no part names, and say which there are."""
    scenes = sorted(part.stem for part in parts)
    for folder in ("drives", *waymo_names.FOLDERS):
        for path in (root / folder).glob("*"):
            if not any(path.name.removesuffix(".json").endswith(scene) for scene in scenes):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(root / CITY, {"description": DESCRIPTION, "scenes": scenes})


def check_frames_owner(root: Path) -> None:
    """Refuse frames beside which nothing says that they are a toy city's."""
    if any((root / folder).is_dir() for folder in (kitti_writer.VERSION, "ImageSets")) and not (root / OWNER).is_file():
        raise _foreign(root, "frames that no toy city wrote")


def join_frames(parts: Sequence[Path], root: Path) -> None:
    """Delete the files of frames that no part names, and list the frames of both splits, and of both together."""
    found = [read_part(part, {"scene", "frames"}) for part in parts]
    frames = {part["scene"]: part["frames"] for part in sorted(found, key=lambda part: part["scene"])}
    every = [frame for of_drive in frames.values() for frame in of_drive]
    named = set(every)
    for path in frame_paths(kitti_writer.VERSION, "000000").values():
        for file in (root / path).parent.iterdir():
            if file.stem not in named:
                file.unlink()
    listed = {
        "train": [frame for drive in frames if drive in kitti_writer.TRAIN_DRIVES for frame in frames[drive]],
        "val": [frame for drive in frames if drive in kitti_writer.VALIDATION_DRIVES for frame in frames[drive]],
        "trainval": every,
    }
    for split, numbers in listed.items():
        write_text(root / "ImageSets" / f"{split}.txt", "".join(f"{frame}\n" for frame in numbers))
    write_json(root / CITY, {"description": DESCRIPTION, "frames": frames})


def _waymo_writer(root: Path, seed: int, scene: str, start_us: int, world: World) -> Writer:
    claim_folder(root)
    return WaymoWriter(root, seed, scene, start_us, world)


def _claiming(writer: Callable[[Path, str, World], Writer]) -> Callable[[Path, int, str, int, World], Writer]:
    """Adapt a writer that needs neither seed nor time, and does not claim its folder itself."""

    def make(root: Path, seed: int, scene: str, start_us: int, world: World) -> Writer:  # noqa: ARG001
        claim_folder(root)
        return writer(root, scene, world)

    return make


FORMATS = {
    "nuscenes": Format(
        rig=NUSCENES,
        version=nuscenes_format.VERSION,
        train_split="mini_train",
        validation_split="mini_val",
        train_scenes=nuscenes_format.TRAIN_SCENES,
        validation_scenes=nuscenes_format.VALIDATION_SCENES,
        writer=NuScenesWriter,
        check_owner=check_nuscenes_owner,
        join=join_nuscenes,
    ),
    "semantic_kitti": Format(
        rig=SEMANTIC_KITTI,
        version="semantic_kitti_mini",
        train_split="mini_train",
        validation_split="mini_val",
        train_scenes=semantic_kitti_writer.TRAIN_SEQUENCES,
        validation_scenes=semantic_kitti_writer.VALIDATION_SEQUENCES,
        writer=_claiming(SemanticKittiWriter),
        check_owner=check_folders_owner,
        join=join_folders,
    ),
    "kitti": Format(
        rig=KITTI,
        version=kitti_writer.VERSION,
        train_split="train",
        validation_split="val",
        train_scenes=kitti_writer.TRAIN_DRIVES,
        validation_scenes=kitti_writer.VALIDATION_DRIVES,
        writer=_claiming(KittiWriter),
        check_owner=check_frames_owner,
        join=join_frames,
    ),
    "waymo": Format(
        rig=WAYMO,
        version="toy",
        train_split="training",
        validation_split="validation_labelled",
        train_scenes=nuscenes_format.TRAIN_SCENES,
        validation_scenes=nuscenes_format.VALIDATION_SCENES,
        writer=_waymo_writer,
        check_owner=check_drives_owner,
        join=join_drives,
    ),
}
