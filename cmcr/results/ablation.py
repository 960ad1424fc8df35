"""The ablation table: rows that vary one method, with what they score and what they measure on held-out scans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from cmcr.errors import ScoresError
from cmcr.results.headline import headlines
from cmcr.results.held_out import HeldOut
from cmcr.results.summary import NO_RUN, Cell, cell_over_seeds, refuse_mixture, seeds_phrase
from cmcr.results.tables import Column, Row, Table


#: Group of the columns that were measured on held-out scans.
MEASURED: Final = "held-out scans"


class _Measure(NamedTuple):
    label: str
    higher_is_better: bool | None
    digits: int
    means: str
    """What the caption says of it."""


#: What of `cmcr.results.held_out.MEASURES` is shown, in this order.
_SHOWN = {
    "error_inside_masks": _Measure(
        "error inside masks", False, 4, "squared error of rebuilt masked pixels, colours in [0, 1]"
    ),
    "error_inside_masks_mean_colour": _Measure(
        "same, mean colour", None, 4, "the same error of the mean colour of what can be seen"
    ),
    "occupancy_accuracy": _Measure("occupancy", True, 3, "share of queries answered rightly"),
    "occupancy_majority_share": _Measure("same, majority", None, 3, "that share for the more frequent answer"),
    "codebook_perplexity_points": _Measure("perplexity, points", None, 1, "of the codes that points pick, over the pairs of all scans (as many, if all alike)"),
    "codebook_perplexity_pixels": _Measure("perplexity, pixels", None, 1, "the same of pixels"),
    "distinct_points": _Measure("distinct points", None, 0, "different points among the pairs drawn from a scan"),
}


def ablation_table(
    scores: pd.DataFrame,
    held_out: Sequence[HeldOut],
    ladders: Mapping[str, Sequence[str]],
    labels: Mapping[str, str],
) -> Table:
    """One block for each method with ablations: its rows by headline metrics and by held-out measures.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        held_out: what the pre-trainings measured; those of other rows are left out.
        ladders: ids of the rows of each block, by the id of the method that they vary.
        labels: name for print by id, of the rows and of the methods.

    Raises:
        ScoresError: nothing to show, a pre-training twice, or a mixture that must not be averaged.
    """
    rows = [row for ladder in ladders.values() for row in ladder]
    scored = headlines(scores, {row: labels[row] for row in rows})
    columns, cells = scored.columns, scored.cells
    shown, measured = _measured([found for found in held_out if found.method in rows])
    columns += shown
    cells |= measured
    if not cells:
        raise ScoresError(f"no scores and no held-out measures of the rows {', '.join(rows)}")
    none = Cell(None, None, 0, reason=NO_RUN)
    unshown = Cell(None, None, 0, reason="not part of this row")
    missing = {column.key: unshown if column in shown else none for column in columns}
    body = [
        Row(
            {"ablation_of": base, "method": row},
            labels[base],
            labels[row],
            [cells.get((row, column.key), missing[column.key]) for column in columns],
        )
        for base, ladder in ladders.items()
        for row in ladder
    ]
    caption = _caption(cells.values(), scores, held_out, shown)
    return Table("ablation", caption, columns, body, with_spread=True, block_header="Ablation of")


def _measured(held_out: Sequence[HeldOut]) -> tuple[list[Column], dict[tuple[str, str], Cell]]:
    """What was measured on held-out scans, where any row has it."""
    rows: list[dict[Any, Any]] = [
        {**found.model_dump(include={"dataset", "split", "num_scans", "toy", "method", "seed"}), "found": found.measures}
        for found in held_out
    ]
    refuse_mixture(rows, (), ("dataset", "split", "num_scans", "toy"))
    seen: set[tuple[str, int]] = set()
    for row in rows:
        if (row["method"], row["seed"]) in seen:
            raise ScoresError(
                f"held-out measures of {row['method']}, seed {row['seed']}, twice\n  way out:  leave one of them out"
            )
        seen.add((row["method"], row["seed"]))
    columns: list[Column] = []
    cells: dict[tuple[str, str], Cell] = {}
    for name, measure in _SHOWN.items():
        having = {row["method"] for row in rows if row["found"].get(name) is not None}
        if not having:
            continue
        columns.append(Column(name, measure.label, MEASURED, measure.higher_is_better, measure.digits))
        for method in having:
            values = [row["found"].get(name) for row in rows if row["method"] == method]
            group: list[dict[Any, Any]] = [{"value": math.nan if v is None else v, "reason": ""} for v in values]
            cells[method, name] = cell_over_seeds(group)
    return columns, cells


def _caption(
    cells: Iterable[Cell], scores: pd.DataFrame, held_out: Sequence[HeldOut], shown: Sequence[Column]
) -> str:
    toy = bool(scores["toy"].any()) or any(found.toy for found in held_out)
    parts = [
        f"Ablation{' on toy data' if toy else ''}: rows that vary one method, {seeds_phrase(cells, with_spread=True)}.",
        "Best of each column and method in bold, second underlined.",
    ]
    if shown:
        first = held_out[0]
        said = "; ".join(f"{_SHOWN[column.key].label}: {_SHOWN[column.key].means}" for column in shown)
        parts.append(f"Measured on {first.num_scans} scans of split {first.split} of {first.dataset}: {said}.")
    return " ".join(parts)
