"""Tables of scores: which numbers stand where. `cmcr.results.table_text` writes them as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cmcr.results.summary import METRIC_LABELS, AbsentDataset, Cell, DatasetSummary, Summary, seeds_phrase, summarise


@dataclass(frozen=True)
class Column:
    """One metric in one setting. ``key`` names it in the CSV, ``label`` in print below the header ``group``."""

    key: str
    label: str
    group: str
    higher_is_better: bool | None
    """None where neither is better, and no value is printed bold."""
    digits: int = 1
    """Digits behind the point in print; numbers that look the same there are equally good."""


@dataclass(frozen=True)
class Row:
    """One method. ``keys`` identify the row in the CSV; rows of one ``block`` compete with each other."""

    keys: Mapping[str, str]
    block: str
    label: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """A finished table, named for cross-references. All texts are plain: whoever prints them escapes them."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    with_spread: bool
    """Whether print shows the standard deviation; the CSV always has it."""
    block_header: str = "Setting"
    """What blocks are called above their column."""

    @property
    def of_gains(self) -> bool:
        """Whether its numbers are differences."""
        return any(cell.is_gain for row in self.rows for cell in row.cells)

    @property
    def usual_runs(self) -> int:
        """Runs behind the best covered cell; print marks the cells that have fewer."""
        return max(cell.runs for row in self.rows for cell in row.cells)


def task_table(
    scores: pd.DataFrame,
    task: str,
    metric: str,
    methods: Mapping[str, str],
    reasons: Mapping[str, str] | None = None,
    absent: Mapping[str, AbsentDataset] | None = None,
    recipes: Mapping[str, str] | None = None,
) -> Table:
    """The main table of a task: methods by label share, for every data set.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        task: ``segmentation``, ``detection`` or ``panoptic``.
        metric: id of the task's headline metric, for example ``miou``.
        methods: label for print by id; one row each, in this order.
        reasons: why a method has no numbers, by id, where that is known beforehand.
        absent: data sets that could not be had, by id; their columns say why.
        recipes: how networks were trained, by data set, for the caption.

    Raises:
        ScoresError: nothing to show, or a mixture that must not be averaged (see `summarise`).
    """
    summary = summarise(scores, task, methods, reasons, absent)
    higher = summary.direction(metric)
    places = [(dataset, setting) for dataset in summary.datasets for setting in dataset.settings]
    columns = [Column(f"{d.id}/{setting.key}", setting.label, d.id, higher) for d, setting in places]
    rows = [
        Row({"method": method}, "", label, [summary.cell(d.id, s, method, metric) for d, s in places])
        for method, label in methods.items()
    ]
    cells = [cell for row in rows for cell in row.cells]
    numbers = f"{metric_label(metric)} in percent ({'higher' if higher else 'lower'} is better)"
    caption = " ".join(
        [
            f"{_subject(summary)}: {numbers}, {describe_runs(cells, with_spread=True)}.",
            "Best of each column in bold, second underlined.",
            *(describe_dataset(dataset, (recipes or {}).get(dataset.id)) for dataset in summary.datasets),
        ]
    )
    return Table(task, caption, columns, rows, with_spread=True)


def per_class_tables(
    scores: pd.DataFrame,
    task: str,
    metric: str,
    means: Sequence[str],
    methods: Mapping[str, str],
    reasons: Mapping[str, str] | None = None,
) -> list[Table]:
    """One table per data set: its classes by methods, a block of rows for every setting.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        task: ``segmentation``, ``detection`` or ``panoptic``.
        metric: id of the metric that each class has, for example ``iou``.
        means: ids of metrics over all classes that stand before them, for example ``miou`` and ``fwiou``, where a data
            set has them.
        methods: label for print by id; a row each in every block, in this order.
        reasons: why a method has no numbers, by id, where that is known beforehand.

    Raises:
        ScoresError: nothing to show, or a mixture that must not be averaged (see `summarise`).
    """
    summary = summarise(scores, task, methods, reasons)
    return [_per_class_table(summary, dataset, metric, means) for dataset in summary.datasets]


def _per_class_table(summary: Summary, dataset: DatasetSummary, metric: str, means: Sequence[str]) -> Table:
    asked = [(mean, "all") for mean in means if summary.has(dataset.id, mean)]
    asked += [(metric, name) for name in summary.classes(dataset.id, metric)]
    columns = [
        Column(m if c == "all" else f"{m}/{c}", metric_label(m) if c == "all" else class_label(c), "", summary.direction(m))
        for m, c in asked
    ]
    rows = []
    for setting in dataset.settings:
        protocol = "finetune" if setting.is_finetune else "linear_probe"
        block = f"fine-tuned on {setting.label}" if setting.is_finetune else setting.label
        for method, label in summary.methods.items():
            keys = {
                "dataset": dataset.id,
                "protocol": protocol,
                "label_percent": f"{setting.percent:g}",
                "method": method,
            }
            cells = [summary.cell(dataset.id, setting, method, m, c) for m, c in asked]
            rows.append(Row(keys, block, label, cells))
    over = describe_runs([cell for row in rows for cell in row.cells], with_spread=False)
    caption = (
        f"{_subject(summary)}: {metric_label(metric)} of each class in percent, {over}. "
        f"Best of each column and setting in bold, second underlined. {describe_dataset(dataset)}"
    )
    return Table(f"{summary.task}_per_class_{dataset.id}", caption, columns, rows, with_spread=False)


def class_label(class_name: str) -> str:
    """A class name for print."""
    return class_name.replace("_", " ")


def metric_label(metric: str) -> str:
    """A metric's name for print."""
    return METRIC_LABELS.get(metric, metric)


def _subject(summary: Summary) -> str:
    return f"{summary.task.capitalize()}{' on toy data' if summary.toy else ''}"


def describe_runs(cells: Sequence[Cell], *, with_spread: bool) -> str:
    """What a caption says of the runs behind its numbers."""
    counts = {cell.runs for cell in cells if cell.runs}
    brackets = f" (their number in brackets where it is below {max(counts)})" if len(counts) > 1 else ""
    return seeds_phrase(cells, with_spread=with_spread) + brackets


def describe_dataset(dataset: DatasetSummary, recipe: str | None = None) -> str:
    """What a caption says of a data set: its split, how many scans were labelled, and how networks were trained."""
    if dataset.reason:
        return f"{dataset.id}: n/a ({dataset.reason})."
    scans = ", ".join(f"{dataset.label_scans[setting]} ({setting.label})" for setting in dataset.settings)
    trained = f" Recipe: {recipe}." if recipe else ""
    return f"{dataset.id}: split {dataset.split}, {dataset.num_frames} frames; labelled scans: {scans}.{trained}"
