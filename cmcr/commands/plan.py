"""``cmcr plan``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.config import read_config
from cmcr.costs import Training, config_sizes, count_jobs, feature_bank_mb, trainings
from cmcr.data.index import ScanIndex
from cmcr.missing import absent_without_waymo, refuse_missing
from cmcr.plan import Plan
from cmcr.split_sizes import SplitSize, why_unknown
from cmcr.step_times import StepTimes
from cmcr.waymo_environment import waymo_python

#: Times of a step that come with the suite: of the toy city on a CPU.
SHIPPED_TIMES = Path(__file__).resolve().parents[2] / "config" / "step_times.tsv"


def add_arguments(parser: ArgumentParser) -> None:
    """The config, and what is known about its cost."""
    parser.add_argument("--config", required=True, type=Path, help="a config file, for example config/paper.yaml")
    parser.add_argument(
        "--step-times", type=Path, default=SHIPPED_TIMES, help="measured times, from `cmcr step-times` or by hand"
    )
    parser.add_argument(
        "--index-folder", type=Path, help="the run's index, for exact sizes (default: results/<run_name>/index)"
    )


def run(arguments: Namespace) -> None:
    """Print jobs, steps, hours, memory and disk; name what a run would miss.

    Raises:
        MissingError: data sets or weights are not there; all of them are named.
    """
    plan = load_plan(arguments.config)
    folder = arguments.index_folder or Path("results") / plan.config.run_name / "index"
    known: dict[tuple[str, str], SplitSize | None] = {}
    sources = {}
    for dataset in plan.config.datasets:
        for role in ("train", "validation"):
            known[dataset, role], sources[dataset, role] = _size(plan, dataset, role, folder)
    print(f"{arguments.config}: what `snakemake all_tables` runs when nothing is there yet\n")
    for (dataset, role), size in known.items():
        scans = f"{size.scans:,} scans of {size.scenes:,} scenes" if size else "unknown number of scans"
        print(f"{dataset}, {role}: {scans} ({sources[dataset, role]})")
    for dataset, reason in plan.absent.items():
        print(f"{dataset}: left out, its columns are n/a ({reason})")
    counts = count_jobs(plan)
    print("\njobs:")
    for rule, number in counts.items():
        print(f"  {rule:20}{number:6}")
    print(f"  {'in all':20}{sum(counts.values()):6}")

    def sizes(dataset: str, role: str) -> SplitSize | None:
        return known[dataset, role]

    rows = list(trainings(plan, sizes, StepTimes.load(arguments.step_times)))
    device = plan.config.compute.device
    _print_trainings(rows, "GPU hours" if device == "cuda" else "hours")
    bank = feature_bank_mb(plan, sizes)
    _print_totals(rows, bank, device, arguments.step_times)
    refuse_missing(plan, str(arguments.config))


def load_plan(path: Path) -> Plan:
    """Read and check a config file.

    Raises:
        ConfigError: the file is missing, no YAML mapping, or a key is wrong.
    """
    config = read_config(path)
    return Plan.of(config, str(path), {} if waymo_python().exists() else absent_without_waymo(config))


def _size(plan: Plan, dataset: str, role: str, folder: Path) -> tuple[SplitSize | None, str]:
    """Return a split's size and where it is from: the index if it was made, else the config or the official number."""
    path = folder / dataset / f"{role}.jsonl"
    if path.is_file():
        index = ScanIndex.load(path)
        return SplitSize(len(index), len({record.scene for record in index.records})), str(path)
    size = config_sizes(plan)(dataset, role)
    if size is None:
        return None, f"no index yet; {why_unknown(plan.config.datasets[dataset])}"
    return size, "as configured" if plan.config.datasets[dataset].toy else "the official split; no index yet"


def _print_trainings(rows: list[Training], hours: str) -> None:
    width = max([len(row.name) for row in rows], default=0)
    print(f"\n{'trainings':{width}}  jobs  steps of each  scans scored  {hours:>10} of each  memory asked for")
    for row in rows:
        steps = "unknown" if row.steps is None else f"{row.steps:,}"
        scored = "unknown" if row.scored is None else f"{row.scored:,}"
        took = "unknown" if row.seconds is None else f"{row.seconds * (row.demand.gpus or 1) / 3600:.2f}"
        memory = f"{row.demand.memory_mb / 1000:.0f} GB"
        print(f"{row.name:{width}}  {row.jobs:4}  {steps:>13}  {scored:>12}  {took:>18}  {memory:>16}")


def _print_totals(rows: list[Training], bank_mb: float | None, device: str, times: Path) -> None:
    unit = "GPU hours" if device == "cuda" else "hours, one job at a time"
    measured = [row for row in rows if row.seconds is not None]
    known, jobs = sum(row.jobs for row in measured), sum(row.jobs for row in rows)
    hours = sum(row.jobs * (row.seconds or 0) * (row.demand.gpus or 1) for row in measured) / 3600
    print()
    if known:
        print(f"{unit}: about {hours:.1f} for {known} of {jobs} trainings, an estimate by the step times of {times};")
        print("  start-up, teacher, cached features, superpixels and diagnostics are not counted")
    if known < jobs:
        print(f"{unit}: unknown for {jobs - known} of {jobs} trainings")
        print("  measure with `cmcr step-times --config CONFIG --output FILE` once a job of each kind has run for some")
        print("  minutes (it may be stopped then), and give the table as --step-times FILE")
    disk_gb = sum(row.jobs * row.disk_mb for row in rows) / 1000
    bank = "cached image features of unknown size" if bank_mb is None else f"{bank_mb / 1000:.2f} GB cached features"
    print(f"disk: {disk_gb:.2f} GB of weights, {bank};")
    print("  data, superpixels, logs, checkpoints and small heads are not counted")
    largest = max((row.demand.memory_mb for row in rows), default=0)
    print(f"memory: up to {largest / 1000:.0f} GB asked for by one training: an allowance, not a measurement")
