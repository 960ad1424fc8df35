"""From many ``scores.json`` to tidy tables, ``scores.tsv`` and its like: one row per number.

Time, memory and machine stay behind in the scores files, so that the table has the same bytes wherever the same numbers
were computed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmcr.errors import ScoresError
from cmcr.files import write_text
from cmcr.reading import read_text, reason_of
from cmcr.results.scores import Scores, read_scores

#: Digits of hashes, which stand in every row; scores files have all of them.
HASH_DIGITS = 8

#: What tells one number from another, in sorting order.
KEY = (
    "task",
    "dataset",
    "split",
    "pretrain_dataset",
    "method",
    "protocol",
    "label_percent",
    "seed",
    "metric",
    "class",
)
_TYPES = {
    **dict.fromkeys(KEY, "str"),
    "label_percent": "float64",
    "seed": "int64",
    "value": "float64",
    "higher_is_better": "bool",
    "unit": "str",
    "reason": "str",
    "num_frames": "int64",
    "label_scans": "int64",
    "toy": "bool",
    "config_hash": "str",
    "git_commit": "str",
}
COLUMNS = tuple(_TYPES)


def collect_scores(paths: Sequence[Path | str]) -> pd.DataFrame:
    """Read scores files into one tidy table.

    Raises:
        ScoresError: a file is damaged, or two files hold the same number.
    """
    return scores_table({str(path): read_scores(path) for path in paths})


def scores_table(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Put runs into one tidy table with the columns `COLUMNS`, sorted by `KEY`.

    A number that does not exist is NaN with its reason; ``git_commit`` ends in ``-dirty`` where the code differed from
    it.

    Args:
        scores: the runs by the name of their file, which error messages use.

    Raises:
        ScoresError: two runs hold the same number.
    """
    owners: dict[tuple[Any, ...], str] = {}
    rows = []
    for name, run in scores.items():
        for row in _rows(run):
            key = tuple(row[column] for column in KEY)
            if key in owners:
                what = ", ".join(f"{column} {value}" for column, value in zip(KEY, key, strict=True))
                raise ScoresError(
                    f"{name}\n  expected: each number once\n  found:    the same number as in {owners[key]} ({what})\n"
                    "  way out:  collect only one of the two files"
                )
            owners[key] = name
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)
    return table.sort_values(list(KEY), ignore_index=True)


def _rows(run: Scores) -> list[dict[str, Any]]:
    provenance = run.provenance
    shared = {name: getattr(run, name) for name in COLUMNS if name in Scores.model_fields}
    shared["config_hash"] = provenance.config_hash[:HASH_DIGITS]
    shared["git_commit"] = provenance.git_commit[:HASH_DIGITS] + ("-dirty" if provenance.dirty else "")
    return [
        {
            **shared,
            "metric": metric.metric,
            "class": metric.class_name,
            "value": float("nan") if metric.value is None else metric.value,
            "higher_is_better": metric.higher_is_better,
            "unit": metric.unit,
            "reason": metric.reason or "",
        }
        for metric in run.metrics
    ]


def write_scores_table(path: Path | str, table: pd.DataFrame) -> None:
    """Write a tidy table as tab-separated text with every digit of its values, atomically."""
    shares = table["label_percent"].map(lambda percent: np.format_float_positional(percent, trim="-"))
    write_text(path, table.assign(label_percent=shares).to_csv(sep="\t", index=False, lineterminator="\n"))


def read_scores_tables(paths: Sequence[Path | str]) -> pd.DataFrame:
    """Read and check tables written by `write_scores_table`, and join them.

    Raises:
        ScoresError: see `read_scores_table`; or two tables hold the same number.
    """
    tables = [read_scores_table(path) for path in paths]
    joined = pd.concat(tables, keys=[str(path) for path in paths], names=["path", "row"])
    twice = joined.duplicated(list(KEY), keep=False)
    if twice.any():
        first, second = joined.index[twice].get_level_values("path").unique()[:2]
        raise ScoresError(f"{second}: a number that stands in {first} too\n  way out:  give only one of the two")
    return joined.sort_values(list(KEY), ignore_index=True)


def read_scores_table(path: Path | str) -> pd.DataFrame:
    """Read and check a table written by `write_scores_table`.

    Raises:
        ScoresError: the file is missing or lacks a column, a column has the wrong kind of value, a value is missing
            without a reason, or a number stands there twice.
    """
    path = Path(path)
    try:
        text = read_text(path)
        table = pd.read_csv(
            io.StringIO(text),
            sep="\t",
            dtype=_TYPES,
            keep_default_na=False,
            na_values={"value": [""]},
            float_precision="round_trip",
        )
    except FileNotFoundError as error:
        raise ScoresError(f"{path}: no such table of scores\n  way out:  run the rule that collects it") from error
    except (OSError, ValueError, TypeError, OverflowError) as error:  # pandas' parser errors and bad numbers are such
        found = reason_of(error)
        raise ScoresError(f"{path}: damaged table of scores: {found}\n  way out:  collect it again") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ScoresError(
            f"{path}\n  expected: the columns {', '.join(COLUMNS)}\n  found:    no {', '.join(missing)}\n"
            "  way out:  collect it again"
        )
    twice = table.duplicated(list(KEY))
    if twice.any():
        raise ScoresError(f"{path}: line {twice.to_numpy().argmax() + 2} repeats a number that stands above it")
    numbers = table[["value", "label_percent"]].to_numpy()
    if np.isinf(numbers).any() or not table["label_percent"].between(0, 100, inclusive="right").all():
        raise ScoresError(f"{path}: a value or a share of the labels that is none\n  way out:  collect it again")
    bare = table["value"].isna() & (table["reason"] == "")
    if bare.any():
        raise ScoresError(f"{path}: line {bare.to_numpy().argmax() + 2} has neither a value nor a reason")
    return table
