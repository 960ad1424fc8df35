"""Published numbers as data: what other works printed, what they call things, and how far each can be compared.

The files lie in ``results/reference/``, whose README explains their columns.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmcr.errors import DataError
from cmcr.reading import read_text, reason_of

_TASKS = ("semseg", "detection", "panoptic")
_PROTOCOLS = ("linear_probe", "finetune")
_KINDS = ("task", "metric", "method", "dataset", "network", "teacher")


@dataclass(frozen=True)
class PublishedValue:
    """One cell of a printed table; names are the field's, not ours."""

    method: str
    venue_year: str
    image_teacher: str
    backbone_3d: str
    pretrain_dataset: str
    task: str
    dataset: str
    detector: str
    protocol: str
    """Empty where it is not stated."""
    label_ratio: float | None
    """In percent; None where it is not stated."""
    metric: str
    value: float
    printed: str
    """The value with the digits that were printed."""
    source: str
    quoted_by: str


@dataclass(frozen=True)
class Lineage:
    """Which family of numbers a source repeats."""

    name: str
    comparable: bool = True
    """Whether a difference to its numbers means anything."""
    remark: str = ""


@dataclass(frozen=True)
class Split:
    """What a data set's published numbers were measured on."""

    split: str
    """Our name of it; empty for any."""
    frames: int


@dataclass(frozen=True)
class ComparedMethod:
    """One of our methods as it is looked up in published tables."""

    label: str
    """Name for print."""
    published_as: str | None = None
    """Name in published tables; None takes the label, or what the table of names has for it."""
    teacher: str | None = None
    """Kind of the image teacher, ``none`` for a method without images; None where it is not known."""


@dataclass(frozen=True)
class Reference:
    """All published numbers, and what is needed to find the counterpart of one of ours."""

    values: Sequence[PublishedValue]
    names: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """Published names by kind and our name."""
    lineages: dict[str, Lineage] = field(default_factory=dict)
    """By the work that quotes the number."""
    splits: dict[str, Split] = field(default_factory=dict)
    """By the published name of the data set."""
    gaps: dict[str, str] = field(default_factory=dict)
    """Why a method's numbers are missing, by its published name."""

    def published_names(self, kind: str, ours: str) -> tuple[str, ...]:
        """Names of one of our things in published tables; its own where the table of names has no other."""
        return self.names.get((kind, ours), (ours,))

    def lineage(self, quoted_by: str) -> Lineage:
        """The lineage of a source; a source that is not listed is its own."""
        return self.lineages.get(quoted_by, Lineage(quoted_by))


def read_published(path: Path | str) -> list[PublishedValue]:
    """Read a table of published numbers.

    Raises:
        DataError: names file, line and column, what belongs there and what was found.
    """
    share = _number("a share in percent, above 0 and at most 100, or nothing", lambda value: 0 < value <= 100)
    readers: dict[str, _Reader] = {
        "method": _text,
        "venue_year": _anything,
        "image_teacher": _text,
        "backbone_3d": _text,
        "pretrain_dataset": _text,
        "task": _one_of(*_TASKS),
        "dataset": _text,
        "detector": _anything,
        "protocol": _one_of(*_PROTOCOLS, ""),
        "label_ratio": lambda text: share(text) if text else None,
        "metric": _text,
        "value": _number("a finite number without a unit", math.isfinite),
        "source": _text,
        "quoted_by": _text,
    }
    return [PublishedValue(**row, printed=texts["value"]) for _, row, texts in _rows(path, readers)]


def read_names(path: Path | str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Read the published names of our things.

    Raises:
        DataError: see `read_published`.
    """
    names: dict[tuple[str, str], tuple[str, ...]] = {}
    for _, row, _ in _rows(path, {"kind": _one_of(*_KINDS), "ours": _text, "published": _text}):
        key = row["kind"], row["ours"]
        names[key] = (*names.get(key, ()), row["published"])
    return names


def read_lineages(path: Path | str) -> dict[str, Lineage]:
    """Read which lineage each source belongs to.

    Raises:
        DataError: see `read_published`; or a source stands there twice.
    """
    readers = {"quoted_by": _text, "lineage": _text, "comparable": _one_of("yes", "no"), "remark": _anything}
    return {
        source: Lineage(row["lineage"], row["comparable"] == "yes", row["remark"])
        for source, row in _keyed(path, readers).items()
    }


def read_splits(path: Path | str) -> dict[str, Split]:
    """Read what the published numbers of each data set were measured on.

    Raises:
        DataError: see `read_lineages`.
    """
    whole = _number("a whole number of frames, at least 1", lambda value: value >= 1 and value == int(value))
    rows = _keyed(path, {"dataset": _text, "split": _anything, "frames": whole})
    return {dataset: Split(row["split"], int(row["frames"])) for dataset, row in rows.items()}


def read_gaps(path: Path | str) -> dict[str, str]:
    """Read why numbers of a method are missing.

    Raises:
        DataError: see `read_lineages`.
    """
    return {method: row["reason"] for method, row in _keyed(path, {"method": _text, "reason": _text}).items()}


#: Turns the text of a field into its value; raises ValueError with what belongs there.
_Reader = Callable[[str], Any]


def _anything(text: str) -> str:
    return text


def _text(text: str) -> str:
    if not text:
        raise ValueError("a name or text")
    return text


def _one_of(*allowed: str) -> _Reader:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(" or ".join(name or "nothing" for name in allowed))
        return text

    return read


def _number(expected: str, holds: Callable[[float], bool]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and holds(value)):
            raise ValueError(expected)
        return value

    return read


def _keyed(path: Path | str, readers: dict[str, _Reader]) -> dict[str, dict[str, Any]]:
    """Rows by their first column, in which each value stands once."""
    key = next(iter(readers))
    found: dict[str, dict[str, Any]] = {}
    for line, row, _ in _rows(path, readers):
        if row[key] in found:
            raise DataError.at(
                path, expected=f"each {key} once", found=f"line {line}: {row[key]!r} again", fix="keep one of the rows"
            )
        found[row[key]] = row
    return found


def _rows(path: Path | str, readers: dict[str, _Reader]) -> Iterable[tuple[int, dict[str, Any], dict[str, str]]]:
    """Yield line number, values and texts of each row of a CSV file with exactly these columns."""
    columns, fix = list(readers), "the README beside the published numbers explains the columns"
    try:
        text = read_text(Path(path))
    except FileNotFoundError:
        raise DataError.at(
            path, expected=f"a CSV file with the columns {', '.join(columns)}", found="no file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, expected="a text file in UTF-8", found=reason_of(error)) from None
    try:
        yield from _parsed_rows(path, csv.reader(io.StringIO(text, newline="")), readers)
    except csv.Error as error:
        raise DataError.at(path, expected="a CSV file", found=str(error), fix=fix) from None


def _parsed_rows(
    path: Path | str, lines: Any, readers: dict[str, _Reader]
) -> Iterable[tuple[int, dict[str, Any], dict[str, str]]]:
    columns, fix = list(readers), "the README beside the published numbers explains the columns"
    header: list[str] = next(lines, [])
    if header != columns:
        raise DataError.at(
            path, expected=f"the columns {', '.join(columns)}", found=", ".join(header) or "an empty file", fix=fix
        )
    for fields in lines:
        if len(fields) != len(columns):
            raise DataError.at(
                path,
                expected=f"{len(columns)} fields in each line",
                found=f"{len(fields)} in line {lines.line_num}",
                fix="put a text with a comma in double quotes",
            )
        texts = dict(zip(columns, fields, strict=True))
        values = {}
        for column, read in readers.items():
            try:
                values[column] = read(texts[column])
            except ValueError as error:
                found = f"{texts[column]!r} in line {lines.line_num}"
                raise DataError.at(path, expected=f"in column {column}: {error}", found=found, fix=fix) from None
        yield lines.line_num, values, texts
