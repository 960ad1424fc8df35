"""Waymo Open Dataset: from a folder of converted segments to an index.

The folder has a folder for each split, and in it a JSON for each segment, that `workflow/waymo/convert.py` writes last.
Waymo annotates some frames of a segment alone: the split ``validation`` lists all frames, ``validation_labelled`` those
with labels.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from cmcr.data.index import CameraRecord, Complain, ScanIndex, ScanRecord, refuse, to_text
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
    records = []
    for file in files:
        try:
            records += _segment(file)
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
        content = json.loads(file.read_bytes())
        if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
            raise DataError.at(
                file,
                expected=f"{FORMAT}, version {FORMAT_VERSION}",
                found=f"{content['format']}, version {content['format_version']}",
                fix=_AGAIN,
            )
        for problem in content["problems"]:
            log.warning("%s: %s; the frames before it are used", file, problem)
        return [_record(frame, content["segment"]) for frame in content["frames"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise DataError.at(file, expected="the JSON of a converted segment", found=found, fix=_AGAIN) from None


def _record(frame: dict[str, Any], segment: str) -> ScanRecord:
    return ScanRecord(
        token=frame["token"],
        scene=segment,
        timestamp_us=frame["timestamp_us"],
        lidar=frame["points"],
        lidar_bytes=frame["points_bytes"],
        labels=frame["labels"],
        labels_bytes=frame["labels_bytes"],
        panoptic=frame["labels"],
        panoptic_bytes=frame["labels_bytes"],
        world_from_lidar=(_numbers(frame, "vehicle_from_lidar", 12), _numbers(frame, "world_from_vehicle", 12)),
        cameras=tuple(
            CameraRecord(
                name=camera["name"],
                image=camera["image"],
                image_bytes=camera["image_bytes"],
                size=(camera["size"][0], camera["size"][1]),
                intrinsics=_numbers(camera, "intrinsics", 9),
                world_from_camera=(
                    _numbers(camera, "vehicle_from_camera", 12),
                    _numbers(camera, "world_from_vehicle", 12),
                ),
                distortion=_numbers(camera, "distortion", 5) if any(camera["distortion"]) else None,
            )
            for camera in frame["cameras"]
        ),
    )


def _numbers(record: dict[str, Any], name: str, count: int) -> str:
    numbers = np.array(record[name], dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name}: expected {count} finite numbers, found {record[name]}")
    return to_text(numbers)


def _check_files(root: Path, records: list[ScanRecord], complain: Complain) -> None:
    """Compare each file's size with what its segment says."""
    for record in records:
        files = [(record.lidar, record.lidar_bytes), *((c.image, c.image_bytes) for c in record.cameras)]
        if record.labels is not None:
            files.append((record.labels, BYTES_PER_LABEL * (record.lidar_bytes // BYTES_PER_POINT)))
        for path, size in files:
            there = (root / path).stat().st_size if (root / path).is_file() else None
            if there != size or not size:
                found = "no such file" if there is None else f"{there} bytes"
                fix = "convert the segment again"
                complain(DataError.at(root / path, expected=f"{size} bytes", found=found, fix=fix))
