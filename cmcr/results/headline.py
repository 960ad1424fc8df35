"""The headline metrics of all tasks side by side, for tables that look across tasks and data sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from cmcr.results.summary import MEAN_METRICS, AbsentDataset, Cell, DatasetSummary, summarise
from cmcr.results.tables import Column, metric_label


@dataclass(frozen=True)
class Headlines:
    """Columns, and the cells below them by (method, key of the column).

    Attributes:
        datasets: what was evaluated on each data set, by task and id.
    """

    columns: list[Column]
    cells: dict[tuple[str, str], Cell]
    datasets: dict[tuple[str, str], DatasetSummary]


def headlines(
    scores: pd.DataFrame,
    methods: Mapping[str, str],
    reasons: Mapping[str, Mapping[str, str]] | None = None,
    absent: Mapping[str, Mapping[str, AbsentDataset]] | None = None,
    without: Collection[str] = (),
) -> Headlines:
    """Take each task's headline metric on every data set and in every setting.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        methods: label for print by id, in printing order.
        reasons: why a method has no numbers, by task and id, where that is known beforehand.
        absent: data sets that could not be had, by task and id.
        without: ids of data sets that are left out.

    Raises:
        ScoresError: a mixture that must not be averaged (see `summarise`).
    """
    found = Headlines([], {}, {})
    scores = scores[scores["method"].isin(methods) & ~scores["dataset"].isin(without)]
    for task, (metric, *_) in MEAN_METRICS.items():
        if task not in set(scores["task"]):
            continue
        missing = {name: why for name, why in (absent or {}).get(task, {}).items() if name not in without}
        summary = summarise(scores, task, methods, (reasons or {}).get(task), missing)
        for dataset in summary.datasets:
            found.datasets[task, dataset.id] = dataset
            for setting in dataset.settings:
                key = f"{task}/{dataset.id}/{setting.key}"
                group = f"{dataset.id}, {metric_label(metric)} (%)"
                found.columns.append(Column(key, setting.label, group, summary.direction(metric)))
                found.cells.update({(row, key): summary.cell(dataset.id, setting, row, metric) for row in methods})
    return found
