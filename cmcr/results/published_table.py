"""A run's numbers beside what other works printed for the same cell."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cmcr.errors import ScoresError
from cmcr.models.backbone import PUBLISHED_DATASET
from cmcr.results.plain_table import PlainColumn, PlainTable
from cmcr.results.published import ComparedMethod, Lineage, PublishedValue, Reference
from cmcr.results.summary import Cell, DatasetSummary, Setting, Summary, seeds_phrase, summarise
from cmcr.results.tables import metric_label

NOT_TAKEN = "not taken"


@dataclass(frozen=True)
class Counterpart:
    """A printed number and all the sources of a lineage that print it for one teacher.

    Attributes:
        values: equal numbers, one for each source.
        lineage: of all of them.
        same_teacher: whether it was learned from our teacher, as far as both are known.
    """

    values: Sequence[PublishedValue]
    lineage: Lineage
    same_teacher: bool

    @property
    def comparable(self) -> bool:
        """Whether a difference to it means anything."""
        return self.lineage.comparable and self.same_teacher

    @property
    def teacher(self) -> str:
        """As the sources name it."""
        return ", ".join(dict.fromkeys(value.image_teacher for value in self.values))

    @property
    def printed(self) -> str:
        """The number with the most digits that a source gives."""
        return max((value.printed for value in self.values), key=len)


def find_counterparts(
    reference: Reference,
    method: ComparedMethod,
    *,
    task: str,
    dataset: str,
    pretrain_dataset: str,
    protocol: str,
    percent: float,
    metric: str,
    network: str,
    detector: str | None = None,
) -> list[Counterpart]:
    """Return what was printed for one of our cells, all named as we name them; different numbers stay apart.

    Numbers of another teacher are left out where there are some of ours. A detector has its published name; None takes
    any.
    """
    asked = {
        "method": _method_names(reference, method),
        "task": reference.published_names("task", task),
        "dataset": reference.published_names("dataset", dataset),
        "metric": reference.published_names("metric", metric),
        "backbone_3d": reference.published_names("network", network),
        "protocol": (protocol,),
        "label_ratio": (percent,),
    }
    if detector is not None:
        asked["detector"] = (detector,)
    if pretrain_dataset != PUBLISHED_DATASET:  # weights that do not say what they were trained on
        asked["pretrain_dataset"] = reference.published_names("dataset", pretrain_dataset)
    found = [v for v in reference.values if all(getattr(v, name) in allowed for name, allowed in asked.items())]
    teachers = None if method.teacher is None else reference.published_names("teacher", method.teacher)
    of_ours = [value for value in found if teachers is None or value.image_teacher in teachers]
    groups: dict[tuple[str, float, str, str], list[PublishedValue]] = {}
    for value in of_ours or found:
        # Our teacher may have several names; those of others are told apart.
        teacher = "" if of_ours and teachers is not None else value.image_teacher
        key = reference.lineage(value.quoted_by).name, value.value, teacher, value.detector
        groups.setdefault(key, []).append(value)
    return [Counterpart(values, reference.lineage(values[0].quoted_by), bool(of_ours)) for values in groups.values()]


def published_table(
    scores: pd.DataFrame,
    reference: Reference,
    methods: Mapping[str, ComparedMethod],
    networks: Mapping[str, str],
    detectors: Mapping[str, str] | None = None,
) -> PlainTable:
    """Every number of a run that has a published counterpart, beside it; different printed numbers below each other.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        reference: the published numbers.
        methods: what is compared, by id, in printing order.
        networks: our name of the 3D network, by task.
        detectors: published name of the detector, by data set of detection.

    Raises:
        ScoresError: all scores are of toy data, or a mixture must not be averaged (see `summarise`).
    """
    scores = scores[scores["method"].isin(methods)]
    real = scores[~scores["toy"]]
    if real.empty:
        raise ScoresError(
            "there are no scores on real data, and numbers on toy data are not compared with published ones\n"
            "  way out:  the tables of the tasks compare the methods of a toy run with each other"
        )
    notes = [f"{name}: toy data, not compared." for name in sorted(set(scores[scores["toy"]]["dataset"]))]
    writer = _Writer(reference, methods, networks, detectors or {}, notes)
    for task in sorted(set(real["task"])):
        writer.add_task(real, task)
    return writer.table()


class _Writer:
    """Collects the lines of the table."""

    def __init__(
        self,
        reference: Reference,
        methods: Mapping[str, ComparedMethod],
        networks: Mapping[str, str],
        detectors: Mapping[str, str],
        notes: Iterable[str],
    ):
        self.reference, self.methods, self.notes = reference, methods, list(notes)
        self.networks, self.detectors = networks, detectors
        self.lines: list[list[str]] = []
        self.rows: list[dict[str, object]] = []
        self.sources: dict[tuple[str, str], int] = {}
        self.cells: list[Cell] = []
        self.without = dict.fromkeys(methods)  # until one has a counterpart
        self.apart: dict[str, dict[str, None]] = {}

    def add_task(self, scores: pd.DataFrame, task: str) -> None:
        """Add all cells of a task, by data set, setting, metric and method."""
        summary = summarise(scores, task, {row: method.label for row, method in self.methods.items()})
        rows: list[dict[Hashable, Any]] = scores[scores["task"] == task].to_dict("records")
        pretrained = {(row["dataset"], row["method"]): row["pretrain_dataset"] for row in rows}
        for dataset in summary.datasets:
            (name, *_) = self.reference.published_names("dataset", dataset.id)
            reason = self._why_not(dataset, name)
            if reason:
                self.notes.append(f"{dataset.id}: not compared, {reason}.")
                continue
            for setting in dataset.settings:
                for metric in sorted(summary.directions):
                    for method in self.methods:
                        cell = summary.cells.get((dataset.id, setting, method, metric, "all"))
                        if cell is not None:
                            self._add_cell(
                                summary, dataset, setting, metric, method, cell, pretrained[dataset.id, method]
                            )

    def _why_not(self, dataset: DatasetSummary, name: str) -> str | None:
        published = self.reference.splits.get(name)
        if published is None:
            return f"the table of splits does not say what published numbers of {name} were measured on"
        if (published.split or dataset.split, published.frames) != (dataset.split, dataset.num_frames):
            return (
                f"split {dataset.split} with {dataset.num_frames} frames is not what published numbers were measured "
                f"on ({published.split or 'any name'}, {published.frames} frames)"
            )
        return None

    def _add_cell(
        self,
        summary: Summary,
        dataset: DatasetSummary,
        setting: Setting,
        metric: str,
        method: str,
        cell: Cell,
        pretrain_dataset: str,
    ) -> None:
        compared, protocol = self.methods[method], "finetune" if setting.is_finetune else "linear_probe"
        counterparts = find_counterparts(
            self.reference,
            compared,
            task=summary.task,
            dataset=dataset.id,
            pretrain_dataset=pretrain_dataset,
            protocol=protocol,
            percent=setting.percent,
            metric=metric,
            network=self.networks[summary.task],
            detector=self.detectors.get(dataset.id) if summary.task == "detection" else None,
        )
        gap = self._gap(summary.task, dataset.id, metric, compared)
        if not counterparts and gap is None:
            return
        self.without.pop(method, None)
        self.cells.append(cell)
        where = [f"{dataset.id}, {metric_label(metric)}", setting.label, compared.label, _text(cell)]
        fields: dict[str, object] = {
            "task": summary.task,
            "dataset": dataset.id,
            "split": dataset.split,
            "num_frames": dataset.num_frames,
            "pretrain_dataset": pretrain_dataset,
            "protocol": protocol,
            "label_percent": f"{setting.percent:g}",
            "metric": metric,
            "method": method,
            "mean": "n/a" if cell.mean is None else cell.mean,
            "std": "n/a" if cell.std is None else cell.std,
            "n": cell.runs,
        }
        for counterpart in counterparts:
            self._add_counterpart(where, fields, cell, counterpart)
        if not counterparts:
            self.lines.append([*where, f"n/a ({gap})", "", "", "", ""])
            self.rows.append({**fields, "published": "n/a", "reason": gap})

    def _gap(self, task: str, dataset: str, metric: str, method: ComparedMethod) -> str | None:
        """Why this method's number is missing, where published tables have this metric of this data set at all."""
        asked = {"task": task, "dataset": dataset, "metric": metric}
        names = {kind: self.reference.published_names(kind, ours) for kind, ours in asked.items()}
        if not any(all(getattr(v, kind) in names[kind] for kind in names) for v in self.reference.values):
            return None
        reasons = (self.reference.gaps.get(name) for name in _method_names(self.reference, method))
        return next((reason for reason in reasons if reason), None)

    def _add_counterpart(
        self, where: Sequence[str], fields: Mapping[str, object], cell: Cell, counterpart: Counterpart
    ) -> None:
        first, lineage = counterpart.values[0], counterpart.lineage
        reason = ""
        if not counterpart.same_teacher:
            self.apart.setdefault("Another teacher", {})
            reason = "another teacher"
        elif not lineage.comparable:
            remarks = (self.reference.lineage(value.quoted_by).remark for value in counterpart.values)
            self.apart.setdefault(lineage.name, {}).update(dict.fromkeys(filter(None, remarks)))
            reason = lineage.name
        difference = None if cell.mean is None or reason else cell.mean - first.value
        numbers = {
            self.sources.setdefault((value.quoted_by, value.source), len(self.sources) + 1)
            for value in counterpart.values
        }
        self.lines.append(
            [
                *where,
                counterpart.printed,
                NOT_TAKEN if difference is None else f"{difference:+z.1f}",
                ", ".join(filter(None, (counterpart.teacher, first.detector))),
                lineage.name,
                ", ".join(map(str, sorted(numbers))),
            ]
        )
        self.rows.append(
            {
                **fields,
                "published_as": first.method,
                "published": counterpart.printed,
                "difference": "n/a" if difference is None else difference,
                "reason": reason,
                "teacher": counterpart.teacher,
                "network": first.backbone_3d,
                "detector": first.detector,
                "lineage": lineage.name,
                "quoted_by": "; ".join(value.quoted_by for value in counterpart.values),
                "source": "; ".join(dict.fromkeys(value.source for value in counterpart.values)),
            }
        )

    def table(self) -> PlainTable:
        """Return the finished table."""
        keys = "task dataset split num_frames pretrain_dataset protocol label_percent metric method mean std n"
        keys += " published_as published difference reason teacher network detector lineage quoted_by source"
        if self.lines:
            caption = (
                f"Ours ({seeds_phrase(self.cells, with_spread=True)}; n: their number) and published numbers for the "
                "same cell, in percent. Different printed numbers of a cell stand below each other; difference: ours "
                "minus published."
            )
        else:
            caption = "No number of this run has a published counterpart."
        notes = [
            f"{name}: no difference is taken{': ' if remarks else ''}{'; '.join(remarks)}."
            for name, remarks in self.apart.items()
        ]
        notes += self.notes
        if self.without:
            labels = ", ".join(self.methods[method].label for method in self.without)
            notes.append(f"Without a published counterpart: {labels}.")
        notes += [f"({number}) {quoted_by}: {source}" for (quoted_by, source), number in self.sources.items()]
        columns = [
            PlainColumn("Data set", once=True),
            PlainColumn("Setting", once=True),
            PlainColumn("Method", once=True),
            PlainColumn("Ours", number=True, once=True),
            PlainColumn("Published", number=True),
            PlainColumn("Difference", number=True),
            PlainColumn("Published teacher"),
            PlainColumn("Lineage"),
            PlainColumn("Source"),
        ]
        return PlainTable("published", caption, columns, self.lines, self.rows, keys.split(), notes)


def _method_names(reference: Reference, method: ComparedMethod) -> tuple[str, ...]:
    if method.published_as is not None:
        return (method.published_as,)
    return reference.published_names("method", method.label)


def _text(cell: Cell) -> str:
    if cell.mean is None:
        return f"n/a ({cell.reason})"
    spread = "" if cell.std is None else f" ± {cell.std:z.1f}"
    return f"{cell.mean:z.1f}{spread} (n={cell.runs})"
