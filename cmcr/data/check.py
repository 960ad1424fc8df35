"""Walking a whole data set: what is in it, and which of its files are missing or damaged."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcr.data.image_files import read_image
from cmcr.data.index import ScanIndex
from cmcr.errors import DataError
from cmcr.progress import progress

logger = logging.getLogger(__name__)

#: Scans that a process is given at a time.
_CHUNK = 16


class Found(NamedTuple):
    """What reading one scan shows. Problems are messages of `DataError`, which begin with the file.

    Attributes:
        points: their number; 0 where they cannot be read.
        points_of_class: (K,) labelled points by class; None where the scan has no labels that can be read.
        images: number of images that can be decoded.
        problems: what is wrong.
    """

    points: int
    points_of_class: NDArray[np.int64] | None
    images: int
    problems: tuple[str, ...]


@dataclass
class SplitReport:
    """What a split holds.

    Attributes:
        split: its name.
        class_names: of the data set; empty where the split could not be listed.
        scans, labelled, images, points: how many there are that can be read.
        points_of_class: (K,) labelled points by class.
        problems: what is wrong, by file, in the order in which it was found.
        seconds: how long reading took.
    """

    split: str
    class_names: tuple[str, ...] = ()
    scans: int = 0
    labelled: int = 0
    images: int = 0
    points: int = 0
    points_of_class: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    problems: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def blame(self, problem: str) -> None:
        """Note what is wrong; of one file, what was found first."""
        self.problems.setdefault(problem.split("\n", 1)[0], problem)


def splits_here(format: str, root: Path, version: str) -> list[str]:
    """Return the splits of a data set of which something is here."""
    return import_module(f"cmcr.data.{format}_index").splits_here(root, version)


def check_split(dataset: str, format: str, root: Path, version: str, split: str, processes: int = 1) -> SplitReport:
    """List a split, read all its scans with labels and images, and go on whatever is wrong.

    Args:
        dataset: id of the data set, for messages.
        format: which reader understands it.
        root: folder of the data set.
        version: the data set's own name of its release.
        split: the data set's own name of the split.
        processes: how many read at a time.

    Raises:
        ConfigError: an unknown version or split.
    """
    report = SplitReport(split)
    make_index = import_module(f"cmcr.data.{format}_index").make_index
    try:
        index: ScanIndex = make_index(dataset, root, version, split, lambda problem: report.blame(str(problem)))
    except DataError as error:  # nothing can be listed
        report.blame(str(error))
        return report
    report.class_names = index.class_names
    report.points_of_class = np.zeros(len(index.class_names), dtype=np.int64)
    started = time.monotonic()
    for found in progress(_read_all(index, processes), len(index), f"checking {split}", logger):
        report.scans += found.points > 0
        report.points += found.points
        report.images += found.images
        if found.points_of_class is not None:
            report.labelled += 1
            report.points_of_class += found.points_of_class
        for problem in found.problems:
            report.blame(problem)
    report.seconds = time.monotonic() - started
    return report


def check_scan(index: ScanIndex, position: int) -> Found:
    """Read one scan: its points, its labels, and every pixel of its images."""
    problems, points, counts, images = [], 0, None, 0
    try:
        scan = index.read(position)
    except DataError as error:
        problems.append(str(error))
        try:
            scan = index.read(position, with_labels=False)
        except DataError:
            return Found(0, None, 0, tuple(problems))
    points = len(scan.points)
    if scan.labels is not None:
        counts = np.bincount(scan.labels, minlength=len(index.class_names))
    for camera in scan.cameras:
        try:
            read_image(camera)
            images += 1
        except DataError as error:
            problems.append(str(error))
    return Found(points, counts, images, tuple(problems))


_INDEX: ScanIndex


def _begin(index: ScanIndex) -> None:
    """Keep the index in a process, which would otherwise be sent it with every scan."""
    global _INDEX
    _INDEX = index


def _check_position(position: int) -> Found:
    return check_scan(_INDEX, position)


def _read_all(index: ScanIndex, processes: int) -> Iterator[Found]:
    if processes == 1:
        yield from (check_scan(index, position) for position in range(len(index)))
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(index,)) as pool:
        yield from pool.map(_check_position, range(len(index)), chunksize=_CHUNK)


def as_text(reports: Sequence[SplitReport]) -> str:
    """Return two tables, of the splits and of their labelled points by class, and then what is wrong."""
    rows = [["split", "scans", "labelled", "images", "points", "problems", "scans/s"]]
    for report in reports:
        rate = f"{report.scans / report.seconds:.1f}" if report.seconds > 0 else ""
        counts = (report.scans, report.labelled, report.images, report.points, len(report.problems))
        rows.append([report.split, *(f"{count:,}" for count in counts), rate])
    lines = [*_aligned(rows), ""]
    labelled = [report for report in reports if report.labelled]
    if labelled:
        rows = [["class", *(f"{report.split}{unit}" for report in labelled for unit in ("", " %"))]]
        for number, name in enumerate(labelled[0].class_names):
            row = [name]
            for report in labelled:
                count = int(report.points_of_class[number])
                row += [f"{count:,}", f"{100 * count / report.points_of_class.sum():.3f}"]
            rows.append(row)
        lines += [*_aligned(rows), ""]
    for report in reports:
        lines += list(report.problems.values())
    return "\n".join(lines).rstrip() + "\n"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, the first column to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
