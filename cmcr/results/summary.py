"""The numbers of one task over its seeds: what tables and figures are made of."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from cmcr.errors import ScoresError

METRIC_LABELS = {
    **{"miou": "mIoU", "fwiou": "fwIoU", "iou": "IoU"},
    **{"pq": "PQ", "sq": "SQ", "rq": "RQ", "pq_dagger": "PQ-dagger", "pq_things": "PQ things", "pq_stuff": "PQ stuff"},
    **{"map": "mAP", "nds": "NDS", "ap": "AP", "ap_3d_easy": "3D easy", "ap_3d_hard": "3D hard"},
    **{"ap_bev_moderate": "from above", "ap_image_moderate": "image", "aos_moderate": "AOS"},
    **{"ap_car": "AP car", "ap_pedestrian": "AP pedestrian", "ap_cyclist": "AP cyclist"},
}
#: Metrics over all classes by task; the first ranks the methods.
MEAN_METRICS = {
    "segmentation": ("miou", "fwiou"),
    "panoptic": ("pq", "pq_things", "pq_stuff", "sq", "rq", "pq_dagger", "miou"),
    # What ``map`` averages, and what stands beside it, is the benchmark's of each data set.
    "detection": ("map", "nds", "ap_3d_easy", "ap_3d_hard", "ap_bev_moderate", "ap_image_moderate"),
}
#: The metric that each class has, by task.
CLASS_METRIC = {"segmentation": "iou", "panoptic": "pq", "detection": "ap"}
NO_RUN = "no run"


@dataclass(frozen=True, order=True)
class Setting:
    """How a network was trained on a task: the frozen probe first, then fine-tuning from few labels to many."""

    is_finetune: bool
    percent: float

    @property
    def key(self) -> str:
        """As in file names and column names, ``finetune/1pct``."""
        return f"{'finetune' if self.is_finetune else 'linear_probe'}/{self.percent:g}pct"

    @property
    def label(self) -> str:
        """For print: ``1 %``, or ``linear probe``, which has all labels unless it says otherwise."""
        if self.is_finetune:
            return f"{self.percent:g} %"
        return "linear probe" if self.percent == 100 else f"linear probe, {self.percent:g} %"


@dataclass(frozen=True)
class Cell:
    """One metric over the seeds of one method and setting. Where ``mean`` is None, ``reason`` says why."""

    mean: float | None
    std: float | None
    """Sample standard deviation; None for fewer than two runs."""
    runs: int
    values: tuple[float, ...] = ()
    reason: str = ""
    interval: tuple[float, float] | None = None
    """Where the mean may lie, if that is known."""
    is_gain: bool = False
    """Whether it is a difference, printed with its sign, and bold where the interval leaves out zero."""

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


class AbsentDataset(NamedTuple):
    """Why nothing was run on a data set, and each protocol and share of the labels that would have been."""

    reason: str
    settings: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class DatasetSummary:
    """What one data set was evaluated on, and the settings that were run, each with its number of labelled scans."""

    id: str
    split: str
    num_frames: int
    label_scans: Mapping[Setting, int]
    reason: str = ""
    """Why nothing was run on it; there are no frames and no labelled scans then."""

    @property
    def settings(self) -> list[Setting]:
        """All settings that some method was run in, in printing order."""
        return sorted(self.label_scans)


@dataclass(frozen=True)
class Summary:
    """One task's numbers. ``methods`` maps ids to labels, in printing order."""

    task: str
    toy: bool
    methods: Mapping[str, str]
    datasets: Sequence[DatasetSummary]
    cells: Mapping[tuple[str, Setting, str, str, str], Cell]
    directions: Mapping[str, bool]
    """Whether higher is better, by metric."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a method has no numbers, by its id, where that is known beforehand."""

    def cell(self, dataset: str, setting: Setting, method: str, metric: str, class_name: str = "all") -> Cell:
        """The number asked for; without a number, it says why: `NO_RUN` if nobody computed it."""
        absent = next((found.reason for found in self.datasets if found.id == dataset), "")
        missing = Cell(None, None, 0, reason=absent or self.reasons.get(method, NO_RUN))
        return self.cells.get((dataset, setting, method, metric, class_name), missing)

    def dataset(self, dataset: str) -> DatasetSummary:
        """The data set with this id."""
        return next(found for found in self.datasets if found.id == dataset)

    def classes(self, dataset: str, metric: str) -> list[str]:
        """Names of the data set's classes that have this metric, in alphabetical order."""
        return sorted({c for d, _, _, m, c in self.cells if d == dataset and m == metric and c != "all"})

    def has(self, dataset: str, metric: str) -> bool:
        """Whether any score of the data set has this metric."""
        return any((d, m) == (dataset, metric) for d, _, _, m, _ in self.cells)

    def direction(self, metric: str) -> bool:
        """Whether higher is better.

        Raises:
            ScoresError: no score has this metric.
        """
        if metric not in self.directions:
            raise ScoresError(
                f"task {self.task}\n  expected: the metric {metric}\n  found:    {', '.join(sorted(self.directions))}"
            )
        return self.directions[metric]


def summarise(
    scores: pd.DataFrame,
    task: str,
    methods: Mapping[str, str],
    reasons: Mapping[str, str] | None = None,
    absent: Mapping[str, AbsentDataset] | None = None,
) -> Summary:
    """Take the numbers of one task together over the seeds.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        task: ``segmentation``, ``detection`` or ``panoptic``.
        methods: label for print by id, in printing order. Other methods in ``scores`` are left out.
        reasons: why a method has no numbers, by id, where that is known beforehand.
        absent: data sets that could not be had, by id.

    Raises:
        ScoresError: there is nothing of this task, or numbers would be mixed that must not be: toy and real data, two
            splits of a data set, two pre-training data sets of a method.
    """
    rows: list[dict[Hashable, Any]] = scores[(scores["task"] == task)].to_dict("records")
    rows = [row for row in rows if row["method"] in methods]
    if not rows:
        raise ScoresError(f"no scores of task {task} for the methods {', '.join(methods)}")
    refuse_mixture(rows, ("task",), ("toy",))
    refuse_mixture(rows, ("dataset",), ("split", "num_frames"))
    refuse_mixture(rows, ("dataset", "method"), ("pretrain_dataset",))
    refuse_mixture(rows, ("dataset", "protocol", "label_percent"), ("label_scans",))
    refuse_mixture(rows, ("metric",), ("higher_is_better",))

    groups: dict[tuple[str, Setting, str, str, str], list[dict[Hashable, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["dataset"], _setting(row), row["method"], row["metric"], row["class"]].append(row)
    return Summary(
        task=task,
        toy=rows[0]["toy"],
        methods=dict(methods),
        datasets=sorted(
            [
                *(_dataset(name, rows) for name in {row["dataset"] for row in rows}),
                *(_absent(name, found) for name, found in (absent or {}).items()),
            ],
            key=lambda dataset: dataset.id,
        ),
        cells={key: cell_over_seeds(group) for key, group in groups.items()},
        directions={row["metric"]: row["higher_is_better"] for row in rows},
        reasons=dict(reasons or {}),
    )


def seeds_phrase(cells: Iterable[Cell], *, with_spread: bool) -> str:
    """What a caption says about the numbers it shows: how many runs are behind them and what is printed of them."""
    counts = sorted({cell.runs for cell in cells if cell.runs})
    if counts in ([], [1]):
        return "one seed" if counts else NO_RUN
    spread = " and sample standard deviation" if with_spread else ""
    return (
        f"mean{spread} over {counts[0]} to {counts[-1]} seeds" if counts[1:] else f"mean{spread} over {counts[0]} seeds"
    )


def _setting(row: Mapping[Hashable, Any]) -> Setting:
    return Setting(row["protocol"] == "finetune", row["label_percent"])


def _dataset(name: str, rows: Iterable[Mapping[Hashable, Any]]) -> DatasetSummary:
    mine = [row for row in rows if row["dataset"] == name]
    scans = {_setting(row): row["label_scans"] for row in mine}
    return DatasetSummary(name, mine[0]["split"], mine[0]["num_frames"], scans)


def _absent(name: str, found: AbsentDataset) -> DatasetSummary:
    settings = [Setting(protocol == "finetune", percent) for protocol, percent in found.settings]
    return DatasetSummary(name, "", 0, dict.fromkeys(settings, 0), found.reason)


def cell_over_seeds(rows: Sequence[Mapping[Hashable, Any]]) -> Cell:
    """Take one number over its seeds; each row has its ``value``, NaN for none, and then the ``reason``."""
    values = tuple(row["value"] for row in rows if not pd.isna(row["value"]))
    if not values:
        return Cell(None, None, 0, reason="; ".join(dict.fromkeys(row["reason"] for row in rows)))
    # `statistics` rounds once, at the end, so that the result does not depend on the order or on the processor.
    std = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), std, len(values), values)


def refuse_mixture(rows: Iterable[Mapping[Hashable, Any]], within: Sequence[str], same: Sequence[str]) -> None:
    """Raise if two rows that agree in ``within`` differ in ``same``.

    Raises:
        ScoresError: names the rows' group and both values.
    """
    first: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        group, found = tuple(row[name] for name in within), tuple(row[name] for name in same)
        expected = first.setdefault(group, found)
        if found != expected:
            where = ", ".join(f"{name} {value}" for name, value in zip(within, group, strict=True))
            raise ScoresError(
                f"scores that must not share a table ({where})\n"
                f"  expected: one {' and '.join(same)}\n  found:    {expected} and {found}\n"
                "  way out:  choose one of them before making the table"
            )
