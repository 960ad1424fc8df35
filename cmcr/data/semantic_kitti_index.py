"""SemanticKITTI and its relatives: from a folder tree to an index, with every file looked at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.data.image_files import image_size
from cmcr.data.index import Complain, ScanIndex, refuse
from cmcr.data.kitti_odometry import RATE_HZ, Calibration, read_calibration, read_poses, read_times
from cmcr.data.releases import Release, layout_of, load_release
from cmcr.data.scan_record import CameraRecord, ScanRecord, to_text, why_not_below
from cmcr.data.semantic_kitti import read_raw_points
from cmcr.errors import ConfigError, DataError
from cmcr.reading import read_text, reason_of, size_of

log = logging.getLogger(__name__)

CAMERA = "image_2"

_MISSING = -1
_AGAIN = "fetch the file again"


def make_index(dataset: str, root: Path, version: str, split: str, complain: Complain = refuse) -> ScanIndex:
    """List the scans of ``split``: scenes in the order of the split, scans by name. A scan is ``<scene>_<name>``.

    Labels are listed where some scan of the split has any, images likewise; then all must have them. A split must be
    here with all its scenes, unless the data set's description lets some be missing; then a warning says so.

    Args:
        dataset: id of the data set in the config.
        root: folder of the data set.
        version: which of the descriptions (`cmcr.data.releases`).
        split: one of its splits.
        complain: gets what is wrong with single files and scenes; after it, the index is made in spite of that.

    Raises:
        ConfigError: an unknown version or split.
        DataError: no scan of the split is here, and whatever ``complain`` raises.
    """
    release = load_release(version)
    scenes = _list_scans(root, release, split, complain)
    label_folder = release.label_folder(split)
    has_labels = any((root / label_folder.format(scene=scene)).is_dir() for scene in scenes)
    has_images = release.images is not None and any(
        (root / release.images.format(scene=scene)).is_dir() for scene in scenes
    )
    layout = layout_of(version)
    records = []
    for scene, paths in scenes.items():
        sequence = _Sequence.of(root, release, scene, paths, has_images, complain)
        folder = label_folder.format(scene=scene) if has_labels else None
        if folder is not None and not (root / folder).is_dir():
            complain(
                DataError.at(
                    root / folder,
                    expected=f"labels of scene {scene}, as other scenes of {split} have them",
                    found="no such folder",
                    fix="unpack the labels, or take them out of all scenes of the split",
                )
            )
        for path in paths:
            labels = None if folder is None else f"{folder}/{Path(path).stem}{release.labels.suffix}"
            records.append(_record(root, sequence, path, labels, layout, complain))
        if folder is not None and isinstance(release.splits[split], tuple):
            _check_no_points_lost(root, folder, paths, release, complain)
    problems = [problem for record in records for problem in _problems(root, release, record)]
    for problem in problems:
        complain(problem)
    if not problems:
        _check_intensity(root / records[0].lidar, records[0].lidar_bytes, release, complain)
    return ScanIndex(
        dataset, "semantic_kitti", root, split, version, release.class_names, release.thing_classes, tuple(records)
    )


def splits_here(root: Path, version: str) -> list[str]:
    """Return the splits of which something is here."""
    release = load_release(version)
    return [
        split
        for split, scenes in release.splits.items()
        if (
            (root / scenes).is_file()
            if isinstance(scenes, str)
            else any((root / release.points.folder.format(scene=scene)).is_dir() for scene in scenes)
        )
    ]


def _list_scans(root: Path, release: Release, split: str, complain: Complain) -> dict[str, list[str]]:
    """Return the files of points of each scene that is here, relative to the root."""
    if split not in release.splits:
        raise ConfigError(f"{release.title} has no split {split!r}\n  way out:  one of {', '.join(release.splits)}")
    if not root.is_dir():
        raise DataError.at(root, expected=f"a folder with {release.title}", found="no such folder", fix="correct root")
    scenes = release.splits[split]
    if isinstance(scenes, str):
        return _read_list(root, root / scenes, release)
    found = {}
    for scene in scenes:
        folder = release.points.folder.format(scene=scene)
        paths = sorted(path.name for path in (root / folder).glob(f"*{release.points.suffix}"))
        if paths:
            found[scene] = [f"{folder}/{name}" for name in paths]
    missing = [scene for scene in scenes if scene not in found]
    if missing:
        problem = DataError.at(
            root / release.points.folder.format(scene=missing[0]),
            expected=f"scans (*{release.points.suffix}) of all {len(scenes)} scenes of {release.title} {split}",
            found=f"none of {len(missing)} of them: {', '.join(missing)}",
            fix="correct root, or fetch the rest; a part of a split needs a version and a split of another name",
        )
        if not found:
            raise problem
        if not release.scenes_may_be_missing:
            complain(problem)
        log.warning("%s holds %d of the %d scenes of %s", root, len(found), len(scenes), split)
    return found


def _read_list(root: Path, path: Path, release: Release) -> dict[str, list[str]]:
    """Return the scans that a list names: a line a scan, its file of points first; the scene is the first folder."""
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError) as error:
        expected = f"the list of a split of {release.title}"
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=f"put it into {root}") from None
    found: dict[str, list[str]] = {}
    for name in sorted(line.split()[0] for line in lines if line.strip()):
        if problem := why_not_below(name):
            raise DataError.at(path, expected="files below the data set's root", found=problem)
        scene = name.split("/")[0]
        folder = release.points.folder.format(scene=scene)
        if name != f"{folder}/{Path(name).name}" or not name.endswith(release.points.suffix):
            raise DataError.at(
                path, expected=f"scans such as {folder}/000000{release.points.suffix}", found=name, fix=_AGAIN
            )
        listed = found.setdefault(scene, [])
        if listed[-1:] == [name]:
            raise DataError.at(path, expected="each scan once", found=f"{name} again", fix=_AGAIN)
        listed.append(name)
    if not found:
        raise DataError.at(path, expected="a scan a line", found="none", fix=_AGAIN)
    return found


@dataclass(frozen=True, eq=False)
class _Sequence:
    """What the scans of a scene share.

    Attributes:
        name: of the scene.
        image_folder: relative to the root; None where it has no images, or none whose place is known.
        calibration: of the camera; None where there are neither images nor poses.
        world_from_camera0: (N, 3, 4) poses by number of the scan, or None.
        times_s: (N,) times, or None.
        number_of: place of each scan, by its file's stem, in the two.
    """

    name: str
    image_folder: str | None
    calibration: Calibration | None
    world_from_camera0: NDArray[np.float64] | None
    times_s: NDArray[np.float64] | None
    number_of: dict[str, int]

    @classmethod
    def of(
        cls, root: Path, release: Release, scene: str, paths: list[str], has_images: bool, complain: Complain
    ) -> _Sequence:
        """Read the sequence's text files; without a calibration it has neither images nor poses."""
        stems = [Path(path).stem for path in paths]
        numbered = all(stem.isascii() and stem.isdecimal() for stem in stems)
        number_of = {stem: int(stem) if numbered else place for place, stem in enumerate(stems)}
        if release.calibration is None:
            return cls(scene, None, None, None, None, number_of)
        folder = root / release.calibration.format(scene=scene)
        if numbered and not release.scenes_may_be_missing:
            gap = next((place for place, stem in enumerate(stems) if int(stem) != place), None)
            if gap is not None:
                complain(
                    DataError.at(
                        root / Path(paths[gap]).with_name(f"{gap:06d}{release.points.suffix}"),
                        expected=f"scans of scene {scene} from 0 on without a gap",
                        found=f"no such file, but {Path(paths[gap]).name}",
                        fix=_AGAIN,
                    )
                )
        images = release.images.format(scene=scene) if has_images and release.images is not None else None
        calibration = poses = times = None
        try:
            if images is not None or (folder / "poses.txt").is_file():
                calibration = read_calibration(folder / "calib.txt")
                if (folder / "poses.txt").is_file():
                    poses = read_poses(folder / "poses.txt")
                    _check_count(folder / "poses.txt", len(poses), number_of, release)
            if (folder / "times.txt").is_file():
                times = read_times(folder / "times.txt")
                _check_count(folder / "times.txt", len(times), number_of, release)
        except DataError as problem:
            complain(problem)
            images = images if calibration is not None else None
        return cls(scene, images, calibration, poses, times, number_of)


def _check_count(path: Path, lines: int, number_of: dict[str, int], release: Release) -> None:
    """Refuse a file with fewer lines than scans; and with more, unless some may be missing."""
    needed = max(number_of.values()) + 1
    if lines < needed or (lines > needed and not release.scenes_may_be_missing):
        raise DataError.at(path, expected=f"{needed} lines, one for each scan", found=f"{lines}", fix=_AGAIN)


def _record(
    root: Path, sequence: _Sequence, path: str, labels: str | None, layout: str, complain: Complain
) -> ScanRecord:
    stem = Path(path).stem
    number, calibration = sequence.number_of[stem], sequence.calibration
    poses: tuple[str, ...] = ()
    world_from_camera0 = sequence.world_from_camera0
    if calibration is not None and world_from_camera0 is not None and number < len(world_from_camera0):
        poses = (to_text(calibration.camera0_from_lidar[:3]), to_text(world_from_camera0[number]))
    time_s = number / RATE_HZ
    if sequence.times_s is not None and number < len(sequence.times_s):
        time_s = float(sequence.times_s[number])
    cameras: tuple[CameraRecord, ...] = ()
    if sequence.image_folder is not None and calibration is not None:
        cameras = (_camera_record(root, f"{sequence.image_folder}/{stem}.png", calibration, complain),)
    return ScanRecord(
        token=f"{sequence.name}_{stem}",
        scene=sequence.name,
        timestamp_us=round(time_s * 1e6),
        lidar=path,
        lidar_bytes=_size(root / path),
        labels=labels,
        labels_bytes=None if labels is None else _size(root / labels),
        panoptic=None,
        panoptic_bytes=None,
        world_from_lidar=poses,
        cameras=cameras,
        layout=layout,
    )


def _camera_record(root: Path, path: str, calibration: Calibration, complain: Complain) -> CameraRecord:
    size = (0, 0)
    try:
        size = image_size(root / path, "an image, as other scans of the split have one", _AGAIN)
    except DataError as problem:
        complain(problem)
    return CameraRecord(
        name=CAMERA,
        image=path,
        image_bytes=_size(root / path),
        size=size,
        intrinsics=to_text(calibration.intrinsics),
        world_from_camera=(),
        camera_from_lidar=to_text(calibration.camera_from_lidar[:3]),
    )


def _check_no_points_lost(root: Path, folder: str, paths: list[str], release: Release, complain: Complain) -> None:
    """Find the labels of points that are not here."""
    stems = {Path(path).stem for path in paths}
    for labels in sorted((root / folder).glob(f"*{release.labels.suffix}")):
        if labels.stem not in stems:
            points = root / Path(paths[0]).with_name(f"{labels.stem}{release.points.suffix}")
            complain(
                DataError.at(points, expected=f"the points that {labels} labels", found="no such file", fix=_AGAIN)
            )


def _problems(root: Path, release: Release, record: ScanRecord) -> Iterator[DataError]:
    """Yield what is wrong with the sizes of a scan's files; those of npy files say little."""
    per_point = 4 * release.points.columns
    headless = release.points.suffix == ".bin"
    if record.lidar_bytes <= 0 or (headless and record.lidar_bytes % per_point):
        expected = f"points of {per_point} bytes each" if headless else "points"
        yield _bad_size(root / record.lidar, expected, record.lidar_bytes)
    elif record.labels is not None:
        wanted = 4 * (record.lidar_bytes // per_point) if headless and release.labels.suffix == ".label" else None
        size = record.labels_bytes or 0
        if size <= 0 or (wanted is not None and size != wanted):
            expected = "labels" if wanted is None else f"{wanted} bytes, 4 for each of {wanted // 4} points"
            yield _bad_size(root / record.labels, expected, size)


def _bad_size(path: Path, expected: str, size: int) -> DataError:
    return DataError.at(
        path,
        expected=expected,
        found="no such file that can be read" if size == _MISSING else f"{size} bytes",
        fix="fetch the file again",
    )


def _check_intensity(path: Path, num_bytes: int, release: Release, complain: Complain) -> None:
    """Refuse intensities that are in [0, 1] already where they would be divided: they would all but vanish."""
    if release.points.intensity_max <= 1:
        return
    try:
        high = float(read_raw_points(path, num_bytes, release.points)[:, 3].max())
    except DataError as problem:
        complain(problem)
        return
    if high <= 1:
        complain(
            DataError.at(
                path,
                expected=f"intensities in [0, {release.points.intensity_max:g}]",
                found=f"none above {high:g}",
                fix="describe the data set with intensity_max: 1 (docs/datasets.md)",
            )
        )


def _size(path: Path) -> int:
    size = size_of(path)
    return _MISSING if size is None else size
