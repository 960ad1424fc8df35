"""``cmcr step-times``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from cmcr.commands.plan import load_plan
from cmcr.errors import DataError
from cmcr.files import write_text
from cmcr.plan import Plan
from cmcr.step_times import StepTime, StepTimes, finetune_work, measure, pretrain_work


def add_arguments(parser: ArgumentParser) -> None:
    """The config of a run under way or ended, its folder, and where the table goes."""
    parser.add_argument("--config", required=True, type=Path, help="the run's config file")
    parser.add_argument("--folder", type=Path, help="the run's folder (default: results/<run_name>)")
    parser.add_argument("--output", required=True, type=Path, help="the table, for `cmcr plan --step-times`")


def run(arguments: Namespace) -> None:
    """Read the times of steps off the logs of a run's trainings.

    Raises:
        DataError: there is no log with two marks of progress.
    """
    plan = load_plan(arguments.config)
    folder = arguments.folder or Path("results") / plan.config.run_name
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for time in _measured(plan, folder / "logs"):
        found.setdefault(time[:4], []).append(time.seconds)
    if not found:
        raise DataError.at(
            folder / "logs",
            expected="logs of trainings with at least two lines of progress",
            found="none",
            fix="let pre-trainings and fine-tunings run until each has written two lines",
        )
    times = StepTimes(tuple(StepTime(*key, median(values)) for key, values in sorted(found.items())))
    write_text(arguments.output, times.text())
    print(times.text(), end="")


def _measured(plan: Plan, logs: Path) -> Iterator[StepTime]:
    config = plan.config
    for network in plan.networks:
        for row in plan.trained_on(network):
            for seed in config.seeds:
                work = pretrain_work(config, plan.plugins[row].stem, plan.pretrain_job(row, seed, network))
                folder = logs / "pretrain" / config.pretrain.dataset / network / row
                yield from measure(work, lines_of(folder / f"seed{seed}.log"))
    for run in plan.runs():
        where = f"{run.dataset}/{run.task}/{run.pretrain_dataset}/{run.method}/{run.protocol}/{run.percent:g}pct"
        work = finetune_work(config, plan.finetune_job(run))
        yield from measure(work, lines_of(logs / "finetune" / where / f"seed{run.seed}.log"))


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
