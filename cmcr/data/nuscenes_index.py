"""nuScenes: from its folder tree to an index, with every referenced file looked at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmcr.data.image_files import MAX_PIXELS
from cmcr.data.index import Complain, ScanIndex, refuse
from cmcr.data.nuscenes_boxes import BOX_TABLE, annotated_boxes
from cmcr.data.nuscenes_names import BYTES_PER_POINT, CAMERAS, CLASS_NAMES, THING_CLASSES
from cmcr.data.nuscenes_tables import LABEL_TABLES, misfit, missing_key, open_tables
from cmcr.data.rigid import TOLERANCE
from cmcr.data.scan_record import CameraRecord, ScanRecord, to_text, why_not_below
from cmcr.errors import ConfigError, DataError
from cmcr.reading import size_of

if TYPE_CHECKING:
    from nuscenes import NuScenes

log = logging.getLogger(__name__)

_MISSING = -1


def make_index(dataset: str, root: Path, version: str, split: str, complain: Complain = refuse) -> ScanIndex:
    """List the keyframes of ``split``, scenes in the order of the tables: by it the field counts off its label subsets.

    Labels are listed where the label downloads are there, and boxes where any keyframe of the split has one. A split
    must be here with all its scenes; only of the splits of v1.0-mini some may be missing (toy cities and single real
    keyframes have fewer), and a warning says so.

    Args:
        dataset: id of the data set in the config.
        root: folder that holds ``samples``, ``maps`` and the tables' folder.
        version: the tables' folder, for example ``v1.0-trainval``.
        split: a split of nuscenes-devkit, for example ``train`` or ``mini_val``.
        complain: gets what is wrong with single files; after it, the index is made in spite of that.

    Raises:
        ConfigError: an unknown split.
        DataError: what `open_tables` finds; a split whose scenes are not here; a keyframe without one of its sensors or
            labels; a referenced file that is missing, empty or of a size that cannot be right.
    """
    names = _scene_names(split)
    nusc = open_tables(root, version)
    tables = root / version
    try:
        labels = {table: _label_files(nusc, table) for table in LABEL_TABLES}
        keyframes = [
            (scene["name"], sample)
            for scene in _scenes(nusc, tables, split, names)
            for sample in _keyframes(nusc, tables, scene)
        ]
        # Nothing is annotated in the test split; of another, a keyframe may well be empty.
        box_bytes = _size(tables / BOX_TABLE) if any(sample["anns"] for _, sample in keyframes) else None
        records = tuple(_record(nusc, root, scene, sample, labels, box_bytes) for scene, sample in keyframes)
    except KeyError as error:
        raise missing_key(tables, error) from None
    except (TypeError, AttributeError) as error:
        raise misfit(tables, error) from None
    _check_labelled(tables, records)
    _check_files(root, records, complain)
    return ScanIndex(dataset, "nuscenes", root, split, version, CLASS_NAMES, THING_CLASSES, records)


def splits_here(root: Path, version: str) -> list[str]:  # noqa: ARG001
    """Return the splits that belong to ``version``."""
    mini, full = ["mini_train", "mini_val"], ["train", "val"]
    return {"v1.0-mini": mini, "v1.0-trainval": full, "v1.0-test": ["test"]}.get(version, [])


def _scene_names(split: str) -> list[str]:
    from nuscenes.utils.splits import create_splits_scenes

    splits = create_splits_scenes()
    if split not in splits:
        raise ConfigError(f"nuScenes has no split {split!r}\n  way out:  one of {', '.join(splits)}")
    return splits[split]


def _scenes(nusc: NuScenes, tables: Path, split: str, names: list[str]) -> list[dict[str, Any]]:
    by_name = {scene["name"]: scene for scene in nusc.scene}
    missing = [name for name in names if name not in by_name]
    if len(missing) == len(names) or (missing and not split.startswith("mini_")):
        raise DataError.at(
            tables / "scene.json",
            expected=f"the {len(names)} scenes of split {split}",
            found=f"{len(names) - len(missing)} of them among {len(by_name)} scenes; the first missing is {missing[0]}",
            fix="train, val belong to v1.0-trainval, mini_train, mini_val to v1.0-mini, test to v1.0-test",
        )
    if missing:
        log.warning("%s holds %d of the %d scenes of %s", tables, len(names) - len(missing), len(names), split)
    return [scene for scene in nusc.scene if scene["name"] in set(names)]


def _keyframes(nusc: NuScenes, tables: Path, scene: dict[str, Any]) -> Iterator[dict[str, Any]]:
    token, number = scene["first_sample_token"], 0
    _whole(tables / "scene.json", scene, "nbr_samples", 1)
    while token and number <= scene["nbr_samples"]:  # a chain that bites its tail must end, too
        sample = nusc.get("sample", token)
        yield sample
        token, number = sample["next"], number + 1
    if token or number != scene["nbr_samples"]:
        raise DataError.at(
            tables / "sample.json",
            expected=f"a chain of {scene['nbr_samples']} keyframes for {scene['name']}, as scene.json says",
            found=f"{'more' if token else number}",
        )


def _record(
    nusc: NuScenes,
    root: Path,
    scene: str,
    sample: dict[str, Any],
    labels: dict[str, dict[str, str]],
    box_bytes: int | None,
) -> ScanRecord:
    tables = root / nusc.version
    missing = [channel for channel in ("LIDAR_TOP", *CAMERAS) if channel not in sample["data"]]
    if missing:
        raise DataError.at(
            tables / "sample_data.json",
            expected=f"a LiDAR sweep and six images for keyframe {sample['token']} of {scene}",
            found=f"none of {', '.join(missing)}",
        )
    lidar = nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
    _check_path(tables / "sample_data.json", lidar)
    semantic, panoptic = (labels[table].get(lidar["token"]) for table in LABEL_TABLES)
    return ScanRecord(
        token=lidar["token"],
        scene=scene,
        timestamp_us=_whole(tables / "sample_data.json", lidar, "timestamp", 0),
        lidar=lidar["filename"],
        lidar_bytes=_size(root / lidar["filename"]),
        labels=semantic,
        labels_bytes=None if semantic is None else _size(root / semantic),
        panoptic=panoptic,
        panoptic_bytes=None if panoptic is None else _size(root / panoptic),
        world_from_lidar=_poses(nusc, tables, lidar),
        cameras=tuple(
            _camera_record(nusc, root, nusc.get("sample_data", sample["data"][channel]), channel) for channel in CAMERAS
        ),
        boxes=None if box_bytes is None else f"{nusc.version}/{BOX_TABLE}",
        boxes_bytes=box_bytes,
        annotations=None if box_bytes is None else annotated_boxes(nusc, tables, sample).to_text(),
        sample=sample["token"],
    )


def _camera_record(nusc: NuScenes, root: Path, image: dict[str, Any], channel: str) -> CameraRecord:
    sensor = nusc.get("calibrated_sensor", image["calibrated_sensor_token"])
    tables = root / nusc.version
    _check_path(tables / "sample_data.json", image)
    height, width = (_whole(tables / "sample_data.json", image, side, 1) for side in ("height", "width"))
    if height * width > MAX_PIXELS:
        raise DataError.at(
            tables / "sample_data.json",
            expected=f"an image of at most {MAX_PIXELS} pixels in record {image['token']}",
            found=f"{width} x {height}",
        )
    intrinsics = _finite(tables / "calibrated_sensor.json", sensor, "camera_intrinsic", (3, 3))
    if abs(np.linalg.det(intrinsics)) < 1e-9:
        raise DataError.at(
            tables / "calibrated_sensor.json",
            expected=f"camera_intrinsic of record {sensor['token']} of a camera that sees anything",
            found=f"{sensor['camera_intrinsic']}",
        )
    return CameraRecord(
        name=channel,
        image=image["filename"],
        image_bytes=_size(root / image["filename"]),
        size=(height, width),
        intrinsics=to_text(intrinsics),
        world_from_camera=_poses(nusc, tables, image),
    )


def _poses(nusc: NuScenes, tables: Path, sample_data: dict[str, Any]) -> tuple[str, str]:
    """Return the poses that lead from a sensor to the vehicle at the sensor's own time, and on to the world."""
    from pyquaternion import Quaternion

    poses = []
    for table in ("calibrated_sensor", "ego_pose"):
        record = nusc.get(table, sample_data[f"{table}_token"])
        rotation = _finite(tables / f"{table}.json", record, "rotation", (4,))
        translation = _finite(tables / f"{table}.json", record, "translation", (3,))
        poses.append(to_text(np.column_stack([Quaternion(rotation).rotation_matrix, translation])))
    return poses[0], poses[1]


def _finite(table: Path, record: dict[str, Any], field: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        value = np.array(record[field], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        value = np.empty(0)
    unit = field != "rotation" or (value.shape == shape and abs(float(np.linalg.norm(value)) - 1) < TOLERANCE)
    if value.shape != shape or not np.isfinite(value).all() or not unit:
        of = ", a quaternion of length 1" if field == "rotation" else ""
        raise DataError.at(
            table,
            expected=f"{field} of record {record['token']}: {' x '.join(map(str, shape))} finite numbers{of}",
            found=f"{record[field]}",
        )
    return value


def _whole(table: Path, record: dict[str, Any], field: str, least: int) -> int:
    value = record[field]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise DataError.at(
            table, expected=f"{field} of record {record['token']}: a whole number from {least} on", found=repr(value)
        )
    return value


def _check_path(table: Path, record: dict[str, Any]) -> None:
    """Refuse a file name that leads out of the root, with the table that has it."""
    if problem := why_not_below(record["filename"]):
        expected = f"filename of record {record['token']}: a path below the data set's root"
        raise DataError.at(table, expected=expected, found=problem)


def _label_files(nusc: NuScenes, table: str) -> dict[str, str]:
    """Return the label file of each labelled sweep; none where the label download is not there."""
    records = getattr(nusc, table, [])
    for record in records:
        nusc.get("sample_data", record["sample_data_token"])  # a KeyError here is a dangling token
        _check_path(Path(nusc.dataroot) / nusc.version / f"{table}.json", record)
    return {record["sample_data_token"]: record["filename"] for record in records}


def _check_labelled(tables: Path, records: tuple[ScanRecord, ...]) -> None:
    """Refuse a split of which a part is labelled; none (as in the test split) or all may be."""
    for table, field in (("lidarseg", "labels"), ("panoptic", "panoptic")):
        without = [record.token for record in records if getattr(record, field) is None]
        if without and len(without) < len(records):
            raise DataError.at(
                tables / f"{table}.json",
                expected=f"labels for all {len(records)} keyframes of the split",
                found=f"none for {len(without)} of them, the first is {without[0]}",
            )


def _check_files(root: Path, records: tuple[ScanRecord, ...], complain: Complain) -> None:
    problems = [problem for record in records for problem in _problems(record)]
    for left, (path, expected, size) in zip(range(len(problems) - 1, -1, -1), problems, strict=True):
        found = "no such file that can be read" if size == _MISSING else f"{size} bytes"
        more = f" (and {left} more bad files)" if complain is refuse else ""
        complain(DataError.at(root / path, expected=expected, found=f"{found}{more}", fix="fetch the files again"))


def _problems(record: ScanRecord) -> Iterator[tuple[str, str, int]]:
    """Yield path, expectation and size of each file that cannot be right."""
    if record.lidar_bytes <= 0 or record.lidar_bytes % BYTES_PER_POINT:
        yield record.lidar, f"a sweep of {BYTES_PER_POINT} bytes for each of its points", record.lidar_bytes
    elif record.labels and record.labels_bytes != record.lidar_bytes // BYTES_PER_POINT:
        expected = f"one byte for each of the sweep's {record.lidar_bytes // BYTES_PER_POINT} points"
        yield record.labels, expected, record.labels_bytes or 0
    if record.panoptic and (record.panoptic_bytes or 0) <= 0:
        yield record.panoptic, "panoptic labels", record.panoptic_bytes or 0
    for camera in record.cameras:
        if camera.image_bytes <= 0:
            yield camera.image, "an image", camera.image_bytes


def _size(path: Path) -> int:
    size = size_of(path)
    return _MISSING if size is None else size
