"""`ScanIndex`: what a data set's split holds, found once and kept as a file, so that jobs start without its tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from cmcr.data.scan import Scan
from cmcr.errors import ConfigError, DataError
from cmcr.files import sha256_of_json, write_text
from cmcr.options import Options
from cmcr.reading import check_regular, parse_json, reason_of

#: Modules of this package that can read a scan: each has ``read_scan(record, root, dataset, *, with_labels) -> Scan``.
#: Beside each, ``<name>_index`` has ``make_index(dataset, root, version, split, complain=refuse) -> ScanIndex``, which
#: hands what is wrong with single files to ``complain``, and ``splits_here(root, version) -> list[str]``.
READERS = ("nuscenes", "semantic_kitti", "waymo", "kitti")

#: What is told of each problem that an index can be made in spite of; it may raise.
Complain = Callable[[DataError], None]

_FORMAT = "cmcr scan index"
_FORMAT_VERSION = 2
_REMAKE = "make the index again; no one should have to edit it"


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


@dataclass(frozen=True, eq=False)
class ScanIndex:
    """The scans of one split of one data set, in their fixed order.

    Attributes:
        dataset: id of the data set in the config.
        reader: which of `READERS` understands the files.
        root: the data set's folder.
        split: the data set's own name of the split.
        version: the data set's own name of its release.
        class_names: names of the classes; a class's number is its place here, and place 0 is "ignore".
        thing_classes: numbers of the classes whose instances are told apart.
        records: one for each scan.
        checksum: SHA-256 over the records. It covers tokens, paths, sizes of files, calibration, poses and annotations
            that the records hold, not the root nor the bytes of the files: the same data in another folder has the same
            checksum.
    """

    dataset: str
    reader: str
    root: Path
    split: str
    version: str
    class_names: tuple[str, ...]
    thing_classes: tuple[int, ...]
    records: tuple[ScanRecord, ...]
    checksum: str = ""

    def __post_init__(self) -> None:
        if not self.checksum:
            object.__setattr__(
                self, "checksum", _checksum(record.to_json().encode() + b"\n" for record in self.records)
            )

    def __len__(self) -> int:
        return len(self.records)

    @property
    def parts(self) -> tuple[ScanIndex, ...]:
        """Of this index, itself; a `cmcr.data.joined.JoinedIndex` has several."""
        return (self,)

    @property
    def reader_file(self) -> Path:
        """The module that reads the scans; it is imported by its name, which `cmcr.sources` cannot see."""
        return Path(__file__).with_name(f"{self.reader}.py")

    def read(self, position: int, *, with_labels: bool = True) -> Scan:
        """Read the scan at ``position`` from its files; without labels, no label file is opened.

        Raises:
            DataError: a file is missing, damaged, or not the one that was indexed.
        """
        if self.reader not in READERS:
            raise DataError(f"the index of {self.dataset} asks for reader {self.reader!r}; known: {', '.join(READERS)}")
        reader, record = import_module(f"cmcr.data.{self.reader}"), self.records[position]
        try:
            return reader.read_scan(record, self.root, self.dataset, with_labels=with_labels)
        except (ValueError, TypeError, LookupError) as error:  # numbers stand there as text until they are asked for
            where, found = f"{self.root}, scan {record.token}", f"{type(error).__name__}: {error}"
            fix = f"{_REMAKE}; if it says the same then, cmcr/data/{self.reader_file.name} is at fault"
            raise DataError.at(where, expected="a record of numbers", found=found, fix=fix) from error

    def check_apart(self, held_out: ScanIndex) -> None:
        """Refuse a split to be measured on that shares scans with this one, which is learned from.

        Raises:
            ConfigError: a scan is in both.
        """
        shared = {scan.token for scan in self.records} & {scan.token for scan in held_out.records}
        if shared:
            raise ConfigError(
                f"{self.dataset}: {len(shared)} scans, {min(shared)} among them, are in both the split to learn from, "
                f"{self.split}, and the one to measure on, {held_out.split}"
            )

    def check_unseen(self, held_out: ScanIndex) -> None:
        """Refuse a split to be measured on of which this one, that was pre-trained on, holds scans.

        The two may be of data sets with other ids or other labels on the same sweeps: a scan is the same if token, time
        and size of its sweep are.

        Raises:
            ConfigError: a scan is in both.
        """
        own, theirs = (
            {(scan.token, scan.timestamp_us, scan.lidar_bytes) for scan in index.records} for index in (self, held_out)
        )
        if shared := own & theirs:
            raise ConfigError(
                f"{held_out.dataset}: {len(shared)} scans, {min(shared)[0]} among them, are in both the split to "
                f"measure on, {held_out.split}, and the one that was pre-trained on, {self.split} of {self.dataset}\n"
                "  way out:  pre-train on scans that are in no validation split of the tasks"
            )

    def save(self, path: Path | str) -> None:
        """Write the index: a header, then one record a line, all JSON. Equal indices give equal bytes."""
        header = {name: getattr(self, name) for name in _HEADER} | {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "root": str(self.root),
            "num_records": len(self.records),
        }
        header["header_checksum"] = sha256_of_json(header)
        lines = [json.dumps(header, sort_keys=True), *(record.to_json() for record in self.records)]
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> ScanIndex:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, is no index, is of another version, or was damaged or edited.
        """
        try:
            check_regular(Path(path))
            with Path(path).open("rb") as file:
                header = _read_header(path, file.readline(_MAX_HEADER_BYTES))
                start = file.tell()
                _check_records(path, header, file)
                file.seek(start)
                records = tuple(_read_record(path, number, line) for number, line in enumerate(file, 2))
        except OSError as error:
            raise DataError.at(path, expected="a scan index", found=reason_of(error)) from None
        return cls(
            **{name: getattr(header, name) for name in _HEADER},
            root=Path(header.root),
            records=records,
        )


_HEADER = ("dataset", "reader", "split", "version", "class_names", "thing_classes", "checksum")
#: A header holds names of classes and little else.
_MAX_HEADER_BYTES = 2**20
#: Bytes of a file's name on any file system; and of one with its folders, which leaves room for the root's.
_LONGEST_NAME, _LONGEST_PATH = 255, 1024


class _Header(Options):
    """First line of an index. Its own checksum covers it: a class renamed there would rename a column of the tables."""

    format: str
    format_version: int
    dataset: str
    reader: str
    root: str
    split: str
    version: str
    class_names: tuple[str, ...]
    thing_classes: tuple[int, ...]
    num_records: int
    checksum: str
    header_checksum: str


#: Fields that only some data sets have; a record without them does not mention them.
_OPTIONAL = ("layout", "boxes", "boxes_bytes", "annotations", "sample", "camera_from_lidar", "distortion")


def _without_unset(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None or name not in _OPTIONAL}


def refuse(problem: DataError) -> None:
    """Raise what is wrong: the `Complain` of those who want a data set without a flaw."""
    raise problem


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


def _checksum(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _read_record(path: Path | str, number: int, line: bytes) -> ScanRecord:
    try:
        return ScanRecord.from_json(line)
    except (DataError, ValidationError) as error:
        found = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DataError.at(f"{path}, line {number}", expected="a record of a scan", found=found, fix=_REMAKE) from None


def _check_records(path: Path | str, header: _Header, lines: Iterable[bytes]) -> None:
    """Refuse records that are not those the header was written for, before one of them is believed."""
    found = _checksum(lines)
    if found != header.checksum:
        raise DataError.at(
            path,
            expected=f"{header.num_records} records with checksum {header.checksum}",
            found=f"checksum {found}: the file was cut short, damaged or edited",
            fix=_REMAKE,
        )


def _read_header(path: Path | str, line: bytes) -> _Header:
    try:
        header = parse_json(line)
    except ValueError:
        raise DataError.at(path, expected="a scan index", found="no JSON header", fix=_REMAKE) from None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise DataError.at(path, expected=f"the header of a {_FORMAT}", found="another kind of file", fix=_REMAKE)
    if header.get("format_version") != _FORMAT_VERSION:
        raise DataError.at(
            path,
            expected=f"format version {_FORMAT_VERSION}",
            found=f"version {header.get('format_version')}, written by another version of this project",
            fix=_REMAKE,
        )
    missing = _Header.model_fields.keys() - header.keys()
    if missing:
        raise DataError.at(path, expected="a complete header", found=f"no {', '.join(sorted(missing))}", fix=_REMAKE)
    try:
        checked = _Header.model_validate(header)
        found = sha256_of_json({name: value for name, value in header.items() if name != "header_checksum"})
    except (ValidationError, ValueError) as error:
        raise DataError.at(path, expected="a header of an index", found=str(error), fix=_REMAKE) from None
    if found != checked.header_checksum:
        raise DataError.at(
            path,
            expected=f"a header with checksum {checked.header_checksum}",
            found=f"checksum {found}: the header was damaged or edited",
            fix=_REMAKE,
        )
    if checked.reader not in READERS:
        raise DataError.at(path, expected=f"one of the readers {', '.join(READERS)}", found=repr(checked.reader))
    if problem := why_not_below(checked.split):
        raise DataError.at(path, expected="a split whose name stays below its folder", found=problem, fix=_REMAKE)
    return checked
