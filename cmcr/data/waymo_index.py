"""Waymo Open Dataset: from a folder of converted segments to an index.

The folder has a folder for each split, and in it a JSON for each segment, that `workflow/waymo/convert.py` writes last.
Waymo annotates some frames of a segment alone: the split ``validation`` lists all frames, ``validation_labelled`` those
with labels.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcr.data.image_files import MAX_PIXELS
from cmcr.data.index import Complain, ScanIndex, refuse
from cmcr.data.rigid import is_rotation
from cmcr.data.scan_record import CameraRecord, ScanRecord, pose_from_text, to_text
from cmcr.data.waymo_boxes import WaymoBoxes
from cmcr.data.waymo_names import (
    BYTES_PER_LABEL,
    BYTES_PER_POINT,
    CLASS_NAMES,
    FOLDERS,
    FORMAT,
    FORMAT_VERSION,
    THING_CLASSES,
)
from cmcr.errors import DataError
from cmcr.reading import MAX_TEXT_BYTES, parse_json, read_bytes, size_of

log = logging.getLogger(__name__)

LABELLED = "_labelled"
_AGAIN = "delete it and convert the segment again"


def make_index(dataset: str, root: Path, version: str, split: str, complain: Complain = refuse) -> ScanIndex:
    """List the frames of all converted segments of a split, by segment and time.

    Args:
        dataset: id of the data set in the config.
        root: folder of the converted segments.
        version: the data set's own name of its release.
        split: name of a folder of segments, or that with `LABELLED`.
        complain: gets what is wrong with single segments and files; after it, the index is made in spite of that.

    Raises:
        DataError: there is no segment, and whatever ``complain`` raises.
    """
    folder = root / split.removesuffix(LABELLED)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError.at(
            folder,
            expected="a JSON for each converted segment",
            found="none",
            fix="name the folder with Waymo's TFRecords in the config (tfrecords), see docs/waymo.md",
        )
    records: list[ScanRecord] = []
    file_of: dict[str, Path] = {}
    for file in files:
        try:
            found = _segment(file)
            _check_once(file, found, file_of)
            records += found
        except DataError as error:
            complain(error)
    if split.endswith(LABELLED):
        records = [record for record in records if record.labels is not None]
        if not records:
            raise DataError.at(folder, expected="frames with labels", found="none", fix=f"name the split {folder.name}")
    _check_files(root, records, complain)
    return ScanIndex(dataset, "waymo", root, split, version, CLASS_NAMES, THING_CLASSES, tuple(records))


def splits_here(root: Path, version: str) -> list[str]:  # noqa: ARG001
    """Return the folders that hold converted segments."""
    return [folder for folder in FOLDERS if any((root / folder).glob("*.json"))]


def _segment(file: Path) -> list[ScanRecord]:
    try:
        content = parse_json(read_bytes(file, MAX_TEXT_BYTES))
        if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
            raise DataError.at(
                file,
                expected=f"{FORMAT}, version {FORMAT_VERSION}",
                found=f"{content['format']}, version {content['format_version']}",
                fix=_AGAIN,
            )
        for problem in content["problems"]:
            log.warning("%s: %s; the frames before it are used", file, problem)
        has_boxes = any(frame["boxes"] for frame in content["frames"])  # of the test split none are published
        boxes = f"{file.parent.name}/{file.name}" if has_boxes else None
        return [_record(frame, content["segment"], boxes, size_of(file)) for frame in content["frames"]]
    except DataError as error:
        if str(error).startswith(str(file)):
            raise
        raise DataError.at(file, expected="the JSON of a converted segment", found=str(error), fix=_AGAIN) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        found = f"{type(error).__name__}: {error}"
        raise DataError.at(file, expected="the JSON of a converted segment", found=found, fix=_AGAIN) from None


def _check_once(file: Path, records: list[ScanRecord], file_of: dict[str, Path]) -> None:
    """Refuse a segment that another file holds, too: each scan would count twice."""
    for segment in {record.scene for record in records}:
        other = file_of.setdefault(segment, file)
        if other != file:
            fix = "take one of the two TFRecords away, and delete what was made of it"
            raise DataError.at(file, expected="each segment once", found=f"{segment}, as in {other.name}", fix=fix)


def _record(frame: dict[str, Any], segment: str, boxes: str | None, boxes_bytes: int | None) -> ScanRecord:
    labels_bytes = None if frame["labels"] is None else _whole(frame, "labels_bytes")
    vehicle_from_lidar = _pose(frame, "vehicle_from_lidar")
    labelled = WaymoBoxes.of_frame(frame, pose_from_text(vehicle_from_lidar))
    return ScanRecord(
        token=frame["token"],
        scene=segment,
        timestamp_us=_whole(frame, "timestamp_us"),
        lidar=frame["points"],
        lidar_bytes=_whole(frame, "points_bytes"),
        labels=frame["labels"],
        labels_bytes=labels_bytes,
        panoptic=frame["labels"],
        panoptic_bytes=labels_bytes,
        world_from_lidar=(vehicle_from_lidar, _pose(frame, "world_from_vehicle")),
        cameras=tuple(
            CameraRecord(
                name=str(camera["name"]),
                image=camera["image"],
                image_bytes=_whole(camera, "image_bytes"),
                size=_size(camera),
                intrinsics=to_text(_numbers(camera, "intrinsics", 9)),
                world_from_camera=(_pose(camera, "vehicle_from_camera"), _pose(camera, "world_from_vehicle")),
                distortion=to_text(_numbers(camera, "distortion", 5)) if any(camera["distortion"]) else None,
            )
            for camera in frame["cameras"]
        ),
        boxes=boxes,
        boxes_bytes=None if boxes is None else boxes_bytes,
        annotations=None if boxes is None else labelled.to_text(),
    )


def _numbers(record: dict[str, Any], name: str, count: int) -> NDArray[np.float64]:
    numbers = np.array(record[name], dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name}: expected {count} finite numbers, found {record[name]}")
    return numbers


def _pose(record: dict[str, Any], name: str) -> str:
    numbers = _numbers(record, name, 12)
    if not is_rotation(numbers.reshape(3, 4)[:, :3]):
        raise ValueError(f"{name}: expected a pose, found {record[name]}, which is no rotation")
    return to_text(numbers)


def _whole(record: dict[str, Any], name: str) -> int:
    value = record[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name}: expected a whole number, found {value!r}")
    return value


def _size(camera: dict[str, Any]) -> tuple[int, int]:
    height, width = (_whole({"size": side}, "size") for side in camera["size"])
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"size: expected height and width of at most {MAX_PIXELS} pixels, found {camera['size']}")
    return height, width


def _check_files(root: Path, records: list[ScanRecord], complain: Complain) -> None:
    """Compare each file's size with what its segment says."""
    for record in records:
        files = [(record.lidar, record.lidar_bytes), *((c.image, c.image_bytes) for c in record.cameras)]
        if record.labels is not None:
            files.append((record.labels, BYTES_PER_LABEL * (record.lidar_bytes // BYTES_PER_POINT)))
        for path, size in files:
            there = size_of(root / path)
            if there != size or not size:
                found = "no such file" if there is None else f"{there} bytes"
                fix = "convert the segment again"
                complain(DataError.at(root / path, expected=f"{size} bytes", found=found, fix=fix))
