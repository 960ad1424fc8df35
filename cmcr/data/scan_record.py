"""`ScanRecord`: one scan as a data set's tables describe it; where its files are, and what is known without them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter

from cmcr.errors import DataError

#: Fields that only some data sets have; a record without them does not mention them.
_OPTIONAL = ("layout", "boxes", "boxes_bytes", "annotations", "sample", "camera_from_lidar", "distortion")
#: Bytes of a file's name on any file system; and of one with its folders, which leaves room for the root's.
_LONGEST_NAME, _LONGEST_PATH = 255, 1024


def to_text(matrix: NDArray[np.float64]) -> str:
    """Write a matrix row by row, exactly.

    As text it costs nothing until its scan is read; lists would: an index of 28,000 scans holds six million such
    numbers, and took 12 s to load instead of 2.
    """
    return " ".join(map(repr, np.asarray(matrix, dtype=np.float64).ravel().tolist()))


def from_text(text: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Undo `to_text`.

    Raises:
        ValueError: these are not so many finite numbers.
    """
    matrix = np.array(text.split(), dtype=np.float64).reshape(shape)
    if not np.isfinite(matrix).all():
        raise ValueError(f"numbers that are not finite: {text}")
    return matrix


def pose_from_text(text: str) -> NDArray[np.float64]:
    """Return the (4, 4) pose whose upper three rows `to_text` wrote."""
    return np.vstack([from_text(text, (3, 4)), (0.0, 0.0, 0.0, 1.0)])


@dataclass(frozen=True)
class CameraRecord:
    """One image of a scan as the tables describe it.

    Attributes:
        name: the data set's own channel name.
        image: path relative to the data set's root.
        image_bytes: size of that file.
        size: (height, width) in pixels.
        intrinsics: (3, 3) camera frame to pixels, as `to_text`.
        world_from_camera: (3, 4) poses from the camera frame at the image's time to the world, in order of application;
            empty where ``camera_from_lidar`` is known.
        camera_from_lidar: (3, 4) pose from the LiDAR frame to the camera's, where the data set has it at once; or None.
        distortion: (1, 5) of the lens, as `to_text`; None for a pinhole.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    name: str
    image: str
    image_bytes: int
    size: tuple[int, int]
    intrinsics: str
    world_from_camera: tuple[str, ...]
    camera_from_lidar: str | None = None
    distortion: str | None = None

    def __post_init__(self) -> None:
        check_relative(self.image)


@dataclass(frozen=True)
class ScanRecord:
    """One scan as the tables describe it; everything a reader needs besides the files.

    Attributes:
        token: unique within the data set.
        scene: scene or sequence it belongs to.
        timestamp_us: time of the sweep in microseconds.
        lidar, lidar_bytes: the sweep's path relative to the data set's root, and its size.
        labels, labels_bytes: its semantic labels, or None.
        panoptic, panoptic_bytes: its panoptic labels, or None.
        world_from_lidar: (3, 4) poses from the LiDAR frame to the world, in order of application.
        cameras: its images, in the data set's fixed order.
        layout: how its files are to be read, for a reader that knows several ways; or None.
        boxes, boxes_bytes: the file that its labelled boxes are in, or None.
        annotations: these boxes in the reader's own words, where the file holds those of all scans; or None.
        sample: what submissions call the moment of the scan, where this is not its token; or None.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    token: str
    scene: str
    timestamp_us: int
    lidar: str
    lidar_bytes: int
    labels: str | None
    labels_bytes: int | None
    panoptic: str | None
    panoptic_bytes: int | None
    world_from_lidar: tuple[str, ...]
    cameras: tuple[CameraRecord, ...]
    layout: str | None = None
    boxes: str | None = None
    boxes_bytes: int | None = None
    annotations: str | None = None
    sample: str | None = None

    def __post_init__(self) -> None:
        # Token and scene name files of predictions, so they must not lead out of a folder either.
        for path in (self.token, self.scene, self.lidar, self.labels, self.panoptic, self.boxes):
            if path is not None:
                check_relative(path)

    def to_json(self) -> str:
        """Return the record as one line of JSON; equal records give equal lines."""
        fields = _without_unset(vars(self)) | {"cameras": [_without_unset(vars(camera)) for camera in self.cameras]}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, line: bytes) -> ScanRecord:
        """Undo `to_json`.

        Raises:
            ValidationError: a field is missing, unknown or of another type.
            DataError: a path leads out of the data set's folder.
        """
        return _RECORD.validate_json(line)


_RECORD = TypeAdapter(ScanRecord)


def annotations_of(record: ScanRecord, root: Path, expected: str, way_out: str) -> str:
    """Return the boxes of a scan in its reader's own words.

    Raises:
        DataError: nothing is annotated in it; ``expected`` and ``way_out`` say what would be.
    """
    if record.annotations is None:
        raise DataError(
            f"{root}: {record.token} of {record.scene} has no boxes\n"
            f"  expected: {expected}\n  found:    one without any\n  way out:  {way_out}"
        )
    return record.annotations


def check_relative(path: Any) -> None:
    """Refuse a path that could lead out of the data set's folder, and what no file is called.

    Raises:
        DataError: the path is absolute or climbs with ``..``, is empty or no text, or has characters that do not print.
    """
    if problem := why_not_below(path):
        raise DataError.at(str(path), expected="a path below the data set's root", found=problem)


def why_not_below(path: Any) -> str:
    """Say why a path does not name a file below some folder; nothing where it does."""
    if not isinstance(path, str) or not path or not path.isprintable():
        return f"{path!r}, which is no name of printable characters"
    if len(path.encode()) > _LONGEST_PATH or any(len(name.encode()) > _LONGEST_NAME for name in path.split("/")):
        return f"{path[:80]!r}..., which is longer than names of files are"
    if path.startswith("/") or ".." in path.split("/"):
        return f"{path!r}, which leads out of it"
    return ""


def _without_unset(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None or name not in _OPTIONAL}
