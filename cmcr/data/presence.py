"""Whether a data set is on disk, told from a few of its folders and files, and where to get it.

It looks at names alone and takes no time, so it comes before everything else. What is in the files is read when an
index is made, and by ``cmcr check-data``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cmcr.data.nuscenes_names import CAMERAS
from cmcr.data.nuscenes_tables import TABLES
from cmcr.data.releases import load_release
from cmcr.data.waymo_index import LABELLED

#: Where to get data sets, by format; those in SemanticKITTI's format say it in their descriptions.
WHERE_TO_GET = {
    "nuscenes": "https://www.nuscenes.org/nuscenes#download: all parts of the full data set (v1.0-trainval), and for "
    "labels nuScenes-lidarseg and nuScenes-panoptic, unpacked into one folder",
    "waymo": "https://waymo.com/open: the perception data set as TFRecords, version 1.3.2 or later (docs/waymo.md)",
    "kitti": "https://www.cvlibs.net/datasets/kitti/eval_object.php: left colour images, Velodyne points, calibration "
    "and labels; ImageSets as open-mmlab/OpenPCDet has them",
}


class Use(NamedTuple):
    """What a run takes from a split.

    Attributes:
        split: the data set's own name of it.
        by: who uses it, in words.
        task: the task that its labels are for; None where it is used without.
        images: whether its images are used.
    """

    split: str
    by: str
    task: str | None = None
    images: bool = False


class Absent(NamedTuple):
    """Something that is not there.

    Attributes:
        path: the first such folder or file.
        found: what is wrong with it, and with how many like it.
        needed_by: who uses it, in words.
    """

    path: Path
    found: str
    needed_by: tuple[str, ...]


#: Folders and files by what they are; the last part of a path may be a pattern.
Needed = Iterator[tuple[str, Path]]


def where_to_get(format: str, version: str) -> str:
    """Return where to get a data set, in words."""
    if format == "semantic_kitti":
        return load_release(version).source or "its authors"
    return WHERE_TO_GET.get(format, "its authors")


def find_absent(format: str, version: str, root: Path, uses: Iterable[Use]) -> list[Absent]:
    """Return what of a data set is not there: its folder, or else what its uses lack, alike things together.

    Args:
        format: which reader understands it; ``tfrecords`` for Waymo's files before their conversion.
        version: the data set's own name of its release.
        root: folder of the data set.
        uses: what is to be taken from it.
    """
    uses = list(uses)
    if not root.is_dir():
        return [Absent(root, "no such folder", tuple(dict.fromkeys(use.by for use in uses)))]
    needed = _NEEDED[format]
    missing: dict[str, dict[Path, None]] = {}
    needed_by: dict[str, dict[str, None]] = {}
    for use in uses:
        for kind, path in needed(root, version, use):
            if not _is_there(path):
                missing.setdefault(kind, {})[path] = None
                needed_by.setdefault(kind, {})[use.by] = None
    found = []
    for kind, paths in missing.items():
        first, *others = paths
        more = f", nor {len(others)} more like it" if others else ""
        found.append(Absent(first, f"no such {kind}{more}", tuple(needed_by[kind])))
    return found


def _is_there(path: Path) -> bool:
    return any(path.parent.glob(path.name)) if "*" in path.name else path.exists()


def _nuscenes(root: Path, version: str, use: Use) -> Needed:
    yield from (("table", root / version / f"{table}.json") for table in TABLES)
    if use.task == "segmentation":
        yield "table of labels", root / version / "lidarseg.json"
    if use.task == "panoptic":
        yield "table of panoptic labels", root / version / "panoptic.json"
    yield "folder of sweeps", root / "samples" / "LIDAR_TOP"
    if use.images:
        yield from (("folder of images", root / "samples" / camera) for camera in CAMERAS)


def _semantic_kitti(root: Path, version: str, use: Use) -> Needed:
    release = load_release(version)
    scenes = release.splits[use.split]
    if isinstance(scenes, str):
        yield "list of scans", root / scenes
        return

    def points(scene: str) -> Path:
        return root / release.points.folder.format(scene=scene)

    if release.scenes_may_be_missing:
        scenes = tuple(scene for scene in scenes if points(scene).is_dir()) or scenes[:1]
    for scene in scenes:
        yield "folder of points", points(scene)
        if use.task is not None:
            yield "folder of labels", root / release.label_folder(use.split).format(scene=scene)
        if use.images and release.images is not None:
            yield "folder of images", root / release.images.format(scene=scene)
        if use.images and release.calibration is not None:
            yield "calibration", root / release.calibration.format(scene=scene) / "calib.txt"


def _waymo(root: Path, version: str, use: Use) -> Needed:  # noqa: ARG001
    yield "converted segment", root / use.split.removesuffix(LABELLED) / "*.json"


def _tfrecords(root: Path, version: str, use: Use) -> Needed:  # noqa: ARG001
    yield "TFRecord", root / use.split.removesuffix(LABELLED) / "*.tfrecord"


def _kitti(root: Path, version: str, use: Use) -> Needed:
    yield "list of frames", root / "ImageSets" / f"{use.split}.txt"
    folders = ["velodyne", "calib", "image_2", *(["label_2"] if use.task is not None else [])]
    yield from (("folder", root / version / folder) for folder in folders)


_NEEDED: dict[str, Callable[[Path, str, Use], Needed]] = {
    "nuscenes": _nuscenes,
    "semantic_kitti": _semantic_kitti,
    "waymo": _waymo,
    "tfrecords": _tfrecords,
    "kitti": _kitti,
}
