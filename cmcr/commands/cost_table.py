"""``cmcr cost-table``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cmcr.commands.arguments import from_json
from cmcr.models.backbone import MINKUNET, NetworkName, load_backbone, read_record
from cmcr.pretrain.course import COURSE_FILE, read_course
from cmcr.pretrain.learned import METHOD_FILE, load_method
from cmcr.pretrain.plugins import load_plugin_file
from cmcr.results.collect import scores_table
from cmcr.results.cost import MethodCost, PretrainCost, Timing, cost_table, read_timing
from cmcr.results.headline import headlines
from cmcr.results.overview_figures import cost_figure
from cmcr.results.scores import read_scores
from cmcr.results.style import write_figure
from cmcr.results.table_text import write_tables
from cmcr.tasks.registry import network_of


@dataclass(frozen=True)
class MethodFiles:
    """Where the jobs of one method with one 3D network left what they cost; the benchmark files may be absent."""

    method: str
    """Its id."""
    network: NetworkName
    label: str
    compared: bool
    """Whether the figure shows it."""
    plugin: Path
    trained: bool
    batch_size: int
    """Scans in a step of its pre-training."""
    weights: Mapping[int, Path]
    """Backbone by seed."""
    pretrain: Mapping[int, Path]
    """Benchmark of the pre-training, by seed."""
    finetune: Mapping[int, Mapping[Path, Path]]
    """Benchmark of each fine-tuning by its scores file, by seed."""


def add_arguments(parser: ArgumentParser) -> None:
    """Files of the jobs in, tables out."""
    parser.add_argument(
        "--methods", required=True, type=from_json(dict[str, MethodFiles]), help="files of each row by its key, JSON"
    )
    parser.add_argument("--device", required=True, choices=("cpu", "cuda"), help="what hours are counted of")
    parser.add_argument("--devices", type=int, default=1, help="how many of them each job had (1)")
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")
    parser.add_argument("--figures", required=True, type=Path, help="where the figure goes")


def run(arguments: Namespace) -> None:
    """Write cost.{csv,md,tex} and cost.{svg,png}."""
    methods: dict[str, MethodFiles] = arguments.methods
    costs = {method: _cost(files) for method, files in methods.items()}
    paths = [path for files in methods.values() for jobs in files.finetune.values() for path in jobs]
    scores = {str(path): read_scores(path) for path in paths}
    table = cost_table(costs, scores.values(), arguments.device, arguments.devices)
    write_tables(arguments.folder, "cost", [table])
    labels = {files.method: files.label for files in methods.values() if files.compared}
    of_row = {row.keys["method"]: row.cells[0] for row in table.rows}
    found = headlines(scores_table(scores), labels)
    hours = {
        (files.method, column.key): of_row[key]
        for column in found.columns
        for key, files in methods.items()
        if network_of(column.key.split("/")[0]) == files.network
    }
    figure = cost_figure(hours, found.columns, found.cells, labels, table.columns[0].label)
    write_figure(arguments.figures, "cost", figure)


def _cost(files: MethodFiles) -> MethodCost:
    return MethodCost(
        files.label if files.network == MINKUNET else f"{files.label}, VoxelNet",
        files.trained,
        {seed: _pretrain(files, weights, files.pretrain[seed]) for seed, weights in files.weights.items()},
        {
            seed: [read_timing(benchmark, _starts(scores.parent)) for scores, benchmark in jobs.items()]
            for seed, jobs in files.finetune.items()
        },
    )


def _pretrain(files: MethodFiles, weights: Path, benchmark: Path) -> PretrainCost:
    record = read_record(weights)
    backbone, _ = load_backbone(weights, record.backbone, record.voxels)
    timing: Timing | str = read_timing(benchmark, _starts(weights.parent))
    if not files.trained:
        return PretrainCost(timing, 0, _count(backbone), None)
    steps = int(read_course(weights.parent / COURSE_FILE).index[-1])
    method = load_method(weights.parent / METHOD_FILE, load_plugin_file(files.plugin))
    return PretrainCost(timing, steps * files.batch_size, _count(backbone), _count(method))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _starts(folder: Path) -> int:
    """How often a training in this folder was started: TensorBoard's writer makes a file each time."""
    folders: Sequence[Path] = [folder, *(below for below in folder.iterdir() if below.is_dir())]
    return max(len(list(below.glob("events.out.tfevents.*"))) for below in folders)
