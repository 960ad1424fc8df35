"""Where a run's numbers come from: its jobs taken together, and each of them with its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from cmcr.results.held_out import MEASURES, HeldOut
from cmcr.results.scores import Provenance, Scores
from cmcr.results.summary import MEAN_METRICS, NO_RUN, Cell, cell_over_seeds, refuse_mixture, seeds_phrase
from cmcr.results.tables import Column, Row, Table, metric_label
from cmcr.tasks.registry import network_of


@dataclass(frozen=True)
class Origin:
    """What stands behind all jobs of a run. Each entry is counted: most runs have one commit and one machine."""

    jobs: int
    commits: Sequence[tuple[str, int]]
    machines: Sequence[tuple[str, int]]
    packages: Sequence[tuple[str, int]]
    data: Sequence[tuple[str, int]]
    """Checksums."""
    hours: float
    """Wall time of the jobs, added up."""
    peak_memory_mb: float


@dataclass(frozen=True)
class Job:
    """One fine-tuning. Links are paths from the run's folder."""

    task: str
    dataset: str
    method: str
    protocol: str
    percent: str
    seed: int
    metric: str
    value: str
    """As printed, with ``n/a`` and the reason where there is no number."""
    wall_time: str
    peak_memory: str
    config_hash: str
    links: Sequence[tuple[str, str]]
    """What it is, and where."""


def origin_of(records: Iterable[Provenance]) -> Origin:
    """Take the provenance of many jobs together."""
    found = list(records)
    return Origin(
        jobs=len(found),
        commits=_counted(
            f"{record.git_commit}{', with changes that were not committed' if record.dirty else ''}" for record in found
        ),
        machines=_counted(_machine(record) for record in found),
        packages=_counted(
            ", ".join(f"{name} {version}" for name, version in record.packages.items()) for record in found
        ),
        data=_counted(record.data_checksum for record in found),
        hours=sum(record.wall_time_s for record in found) / 3600,
        peak_memory_mb=max((record.peak_memory_mb for record in found), default=0.0),
    )


def _counted(texts: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(texts).items(), key=lambda entry: (-entry[1], entry[0]))


def _machine(record: Provenance) -> str:
    hardware = record.hardware
    gpu = "no GPU" if hardware.gpu == "none" else hardware.gpu
    return (
        f"{hardware.cpu}, {hardware.cores} cores, {hardware.threads} of them used by a job, {gpu}, {hardware.platform}"
    )


def jobs_of(scores: Mapping[str, Scores], labels: Mapping[str, str]) -> list[Job]:
    """Describe each fine-tuning, with links to its log, its scores and the log of its pre-training.

    Args:
        scores: the records by their path from the run's folder.
        labels: name for print by method id; the jobs come in this order.
    """
    places = {method: place for place, method in enumerate(labels)}
    ordered = sorted(
        scores.items(),
        key=lambda entry: (
            entry[1].task,
            entry[1].dataset,
            places.get(entry[1].method, len(places)),
            entry[1].protocol != "linear_probe",
            entry[1].label_percent,
            entry[1].seed,
            entry[0],
        ),
    )
    return [_job(path, record, labels) for path, record in ordered]


def _job(path: str, record: Scores, labels: Mapping[str, str]) -> Job:
    headline = MEAN_METRICS.get(record.task, (record.metrics[0].metric,))[0]
    metric = next((m for m in record.metrics if m.metric == headline and m.class_name == "all"), record.metrics[0])
    folder = PurePosixPath(path).parent
    pretrained = f"pretrain/{record.pretrain_dataset}/{network_of(record.task)}/{record.method}/seed{record.seed}"
    return Job(
        task=record.task,
        dataset=record.dataset,
        method=labels.get(record.method, record.method),
        protocol=record.protocol.replace("_", " "),
        percent=f"{record.label_percent:g}",
        seed=record.seed,
        metric=metric_label(metric.metric),
        value=f"n/a ({metric.reason})" if metric.value is None else f"{metric.value:z.2f}",
        wall_time=f"{record.provenance.wall_time_s:.0f}",
        peak_memory=f"{record.provenance.peak_memory_mb:.0f}",
        config_hash=record.provenance.config_hash,
        links=(("log", f"logs/{folder}.log"), ("scores", path), ("pre-training's log", f"logs/{pretrained}.log")),
    )


def held_out_table(records: Sequence[HeldOut], labels: Mapping[str, str]) -> Table:
    """What pre-trained methods measure on scans they never saw: a row for each method, a column for each measure.

    Raises:
        ScoresError: a mixture that must not stand in one table.
    """
    found: list[dict[Any, Any]] = [record.model_dump() for record in records]
    refuse_mixture(found, (), ("dataset", "split", "num_scans", "toy"))
    shown = [name for name in MEASURES if any(record.measures.get(name) is not None for record in records)]
    rows = []
    for method in dict.fromkeys([*labels, *(record.method for record in records)]):
        mine = [record for record in records if record.method == method]
        if not mine:
            continue
        cells = [_measured([record.measures.get(name) for record in mine]) for name in shown]
        rows.append(Row({"method": method}, "", labels.get(method, method), cells))
    first = records[0]
    said = "; ".join(f"{_words(name)}: {MEASURES[name]}" for name in shown)
    caption = (
        f"Held-out measures{' on toy data' if first.toy else ''}: {first.num_scans} scans of split {first.split} of "
        f"{first.dataset}, {seeds_phrase((cell for row in rows for cell in row.cells), with_spread=True)}. {said}."
    )
    columns = [
        Column(name, _words(name), "", None, digits=_digits(row.cells[place] for row in rows))
        for place, name in enumerate(shown)
    ]
    return Table("held_out", caption, columns, rows, with_spread=True)


def _measured(values: Sequence[float | None]) -> Cell:
    if all(value is None for value in values):
        return Cell(None, None, 0, reason="not part of this row" if values else NO_RUN)
    rows: list[dict[Any, Any]] = [{"value": value, "reason": ""} for value in values if value is not None]
    return cell_over_seeds(rows)


def _digits(cells: Iterable[Cell]) -> int:
    """Shares and errors need more digits than counts do."""
    return 4 if max(abs(cell.mean) for cell in cells if cell.mean is not None) < 1 else 1


def _words(name: str) -> str:
    return name.replace("_", " ")
