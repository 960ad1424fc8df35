"""`ScanIndex`: what a data set's split holds, found once and kept as a file, so that jobs start without its tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from cmcr.data.scan import Scan
from cmcr.data.scan_record import ScanRecord, why_not_below
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


def refuse(problem: DataError) -> None:
    """Raise what is wrong: the `Complain` of those who want a data set without a flaw."""
    raise problem


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
