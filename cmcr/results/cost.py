"""The cost table: time, memory and size of every method, from what its runs have recorded.

Times depend on the machine, so nothing of this is in ``scores.tsv``, and the table differs from run to run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmcr.errors import DataError, ScoresError
from cmcr.reading import read_text
from cmcr.results.scores import Scores
from cmcr.results.summary import NO_RUN, Cell, cell_over_seeds
from cmcr.results.tables import Column, Row, Table

INTERRUPTED = "interrupted: only its last start was timed"
NOT_TIMED = "not timed"
NOT_TRAINED = "not pre-trained here"
_COLUMNS = ("s", "max_rss", "cpu_time")


@dataclass(frozen=True)
class Timing:
    """What Snakemake measured of one job."""

    wall_s: float
    cpu_s: float
    """Processor time of the job and its children."""
    peak_mb: float
    """Largest resident memory, in 10^6 bytes."""


@dataclass(frozen=True)
class PretrainCost:
    """One pre-training. A reason stands in place of a timing that is missing or incomplete."""

    timing: Timing | str
    scans: int
    """Scans that went through the network: steps times batch size, and so a little more where an epoch's last batch
    is smaller; 0 for none."""
    backbone_parameters: int
    method_parameters: int | None
    """Trained weights of the method itself; None where it leaves none."""


@dataclass(frozen=True)
class MethodCost:
    """All jobs of one method, by seed."""

    label: str
    trained: bool
    """Whether this run pre-trains it."""
    pretrain: Mapping[int, PretrainCost] = field(default_factory=dict)
    finetune: Mapping[int, Sequence[Timing | str]] = field(default_factory=dict)
    """Every protocol, data set and label share."""


def read_benchmark(path: Path | str) -> Timing:
    """Read what Snakemake's ``benchmark`` wrote for one job.

    Raises:
        DataError: the file is missing or not of this form.
    """
    expected = f"a table with the columns {', '.join(_COLUMNS)} and one row of numbers"
    try:
        (row,) = csv.DictReader(io.StringIO(read_text(Path(path)), newline=""), delimiter="\t")
        wall, memory, cpu = (float(row[name]) for name in _COLUMNS)
        if not all(0 <= number < float("inf") for number in (wall, memory, cpu)):
            raise ValueError(f"{wall}, {memory} and {cpu}")
    except FileNotFoundError:
        raise DataError.at(path, expected=expected, found="no file") from None
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:  # a job of milliseconds has "NA"
        raise DataError.at(path, expected=expected, found=f"{error}", fix="the job's next run writes it again") from None
    return Timing(wall, cpu, memory * 2**20 / 1e6)  # Snakemake counts in MiB


def read_timing(path: Path | str, starts: int) -> Timing | str:
    """Read a job's timing, or say why there is none that can be used.

    Args:
        path: its benchmark file.
        starts: how often its training was started; what was resumed has only its last start timed.
    """
    if starts > 1:
        return INTERRUPTED
    try:
        return read_benchmark(path)
    except DataError:
        return NOT_TIMED


def cost_table(costs: Mapping[str, MethodCost], scores: Iterable[Scores], device: str, devices: int = 1) -> Table:
    """One row per method: what its pre-training and its fine-tuning cost, mean over the seeds.

    Args:
        costs: by method id, in printing order.
        scores: the runs behind them, which say what they were computed on.
        device: ``cpu`` or ``cuda``; what hours are counted of.
        devices: that each job had.

    Raises:
        ScoresError: there is no method.
    """
    if not costs:
        raise ScoresError("no methods, and so no costs")
    hours = "GPU h" if device == "cuda" else "CPU h"

    def spent(timing: Timing) -> float:
        # A job has its GPUs for as long as it runs.
        return (devices * timing.wall_s if device == "cuda" else timing.cpu_s) / 3600

    columns = [
        Column("pretrain/hours", hours, "Pre-training", False, 3),
        Column("pretrain/wall_hours", "wall-clock h", "Pre-training", False, 3),
        Column("pretrain/scans_per_second", "scans/s", "Pre-training", True, 1),
        Column("pretrain/peak_memory_gb", "peak memory (GB)", "Pre-training", False, 2),
        Column("finetune/hours", hours, "Fine-tuning", False, 3),
        Column("finetune/peak_memory_gb", "peak memory (GB)", "Fine-tuning", False, 2),
        Column("parameters/backbone", "backbone (M)", "Parameters", None, 3),
        Column("parameters/method", "method (M)", "Parameters", None, 3),
    ]
    rows = []
    for method, cost in costs.items():
        trained = None if cost.trained else NOT_TRAINED
        timings = [one.timing for one in cost.pretrain.values()]
        speeds: list[float | str] = [
            one.timing if isinstance(one.timing, str) else one.scans / one.timing.wall_s for one in cost.pretrain.values()
        ]
        heads: list[float | str] = [
            "none" if one.method_parameters is None else one.method_parameters / 1e6 for one in cost.pretrain.values()
        ]
        jobs = list(cost.finetune.values())
        cells = [
            _cell([t if isinstance(t, str) else spent(t) for t in timings], trained),
            _cell([t if isinstance(t, str) else t.wall_s / 3600 for t in timings], trained),
            _cell(speeds, trained),
            _cell([t if isinstance(t, str) else t.peak_mb / 1e3 for t in timings], trained),
            _cell([_of_all(seed, lambda seed: sum(map(spent, seed))) for seed in jobs]),
            _cell([_of_all(seed, lambda seed: max(t.peak_mb for t in seed) / 1e3) for seed in jobs]),
            _cell([one.backbone_parameters / 1e6 for one in cost.pretrain.values()]),
            _cell(heads, trained),
        ]
        rows.append(Row({"method": method}, "", cost.label, cells))
    return Table("cost", _caption(scores, device), columns, rows, with_spread=False)


def _of_all(timings: Sequence[Timing | str], take: Any) -> float | str:
    """A seed's cost is that of all its jobs or none."""
    missing = [timing for timing in timings if isinstance(timing, str)]
    return missing[0] if missing else take(timings)


def _cell(values: Sequence[float | str], reason: str | None = None) -> Cell:
    """Mean over the seeds; seeds that have a reason instead of a number are left out."""
    if reason is not None:
        return Cell(None, None, 0, reason=reason)
    if not values:
        return Cell(None, None, 0, reason=NO_RUN)
    rows: list[dict[Any, Any]] = [
        {"value": float("nan"), "reason": v} if isinstance(v, str) else {"value": v, "reason": ""} for v in values
    ]
    return cell_over_seeds(rows)


def _caption(scores: Iterable[Scores], device: str) -> str:
    runs = list(scores)
    machines = {
        f"{hardware.gpu if device == 'cuda' else hardware.cpu}, {hardware.cores} cores, {hardware.threads} thread(s) a job"
        + (f" on each of {hardware.devices} devices" if hardware.devices > 1 else "")
        for hardware in (run.provenance.hardware for run in runs)
    }
    toy = " on toy data" if any(run.toy for run in runs) else ""
    memory = "the process's, without the GPU's" if device == "cuda" else "the process's"
    return (
        f"Cost{toy}: mean over the seeds. Fine-tuning is the sum over all data sets, protocols and label shares. Whole "
        "jobs, with starting and reading; without the image teacher and superpixels, which methods share. Memory is "
        f"{memory} resident memory, in 10^9 bytes. Parameters are trained weights, in millions. Measured on: "
        f"{'; '.join(sorted(machines)) or 'no run'}. Times differ from machine to machine and from run to run."
    )
