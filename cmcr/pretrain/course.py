"""How a pre-training went: its ``metrics.csv`` read back."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cmcr.errors import DataError
from cmcr.reading import read_text, reason_of

#: The file's name; it lies beside the backbone.
COURSE_FILE = "metrics.csv"
#: What every course has before its terms and its measured scalars.
FIRST_COLUMNS = ["step", "epoch", "lr", "loss"]
#: The end of a training is the last tenth of its rows: one row is one batch, and too restless.
END_SHARE = 0.1
#: Up to here each whole number is one of float64's.
_LAST_EXACT = 2.0**53


def read_course(path: Path | str) -> pd.DataFrame:
    """Read the course of a training: a row per logged step, float64 columns, ``step`` as int64 index, rising.

    A measured scalar may be NaN where its step had nothing to measure.

    Raises:
        DataError: the file is missing, empty, has other columns, a row of another length, no number where one belongs,
            steps that do not rise, or a loss that is not finite.
    """
    path, expected = Path(path), f"a header that starts with {','.join(FIRST_COLUMNS)}, and rows of numbers"
    fix = "delete it and the backbone beside it, and pre-train again"
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        found = "no such file; it should lie beside the backbone that the training left"
        raise DataError.at(path, expected=expected, found=found, fix=fix) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, expected=expected, found=reason_of(error), fix=fix) from None
    header = lines[0].split(",") if lines else []
    if header[: len(FIRST_COLUMNS)] != FIRST_COLUMNS or len(set(header)) < len(header):
        raise DataError.at(path, expected=expected, found=f"the header {','.join(header)!r}", fix=fix)
    for number, line in enumerate(lines[1:], start=2):
        if line.count(",") != len(header) - 1:
            found = f"line {number} has {line.count(',') + 1} fields, not {len(header)}: {line!r}"
            raise DataError.at(path, expected=expected, found=found, fix=fix)
    try:
        course = pd.read_csv(io.StringIO("\n".join(lines)), dtype=dict.fromkeys(header, "float64"))
    except ValueError as error:
        raise DataError.at(path, expected=expected, found=str(error), fix=fix) from None
    steps = course["step"].to_numpy()
    whole = (steps == np.floor(steps)) & (steps <= _LAST_EXACT)  # not NaN either
    if not len(steps) or not whole.all() or not (np.diff(steps, prepend=0) > 0).all():
        expected = "at least one row, and whole steps that rise from 1"
        raise DataError.at(path, expected=expected, found="other steps", fix=fix)
    if not np.isfinite(course["loss"]).all():
        raise DataError.at(path, expected="a finite loss in each row", found="one that is not", fix=fix)
    return course.astype({"step": "int64"}).set_index("step")


def end_of_course(course: pd.DataFrame, path: Path | str, names: Sequence[str]) -> dict[str, float]:
    """Return the means of some columns over the last tenth of the rows.

    Raises:
        DataError: a column is not there; ``path`` is named.
    """
    absent = [name for name in names if name not in course]
    if absent:
        raise DataError.at(
            path,
            expected=f"the column(s) {', '.join(absent)}, which the method logs",
            found=f"the columns {', '.join(map(str, course))}",
            fix="pre-train again",
        )
    rows = max(1, round(END_SHARE * len(course)))
    return {name: float(course[name].iloc[-rows:].mean()) for name in names}
