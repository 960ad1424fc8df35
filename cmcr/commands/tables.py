"""``cmcr tables``"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmcr.results.collect import read_scores_tables
from cmcr.results.summary import CLASS_METRIC, MEAN_METRICS, AbsentDataset
from cmcr.results.table_text import write_tables
from cmcr.results.tables import per_class_tables, task_table


def add_arguments(parser: ArgumentParser) -> None:
    """Scores in, tables out."""
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="tables of scores (tsv)")
    parser.add_argument("--task", required=True, choices=tuple(MEAN_METRICS), help="whose tables are written")
    add_compared(parser)
    parser.add_argument("--absent", type=json.loads, default={}, help="data sets not to be had, by id, JSON")
    parser.add_argument("--recipes", type=json.loads, default={}, help="how networks were trained, by data set, JSON")
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")


def add_compared(parser: ArgumentParser) -> None:
    """Arguments that say which methods are compared."""
    parser.add_argument("--labels", required=True, type=json.loads, help="name for print of each method id, JSON")
    parser.add_argument("--reasons", type=json.loads, default={}, help="why methods do not apply, by id, JSON")


def parse_absent(found: Mapping[str, Sequence[Any]]) -> dict[str, AbsentDataset]:
    """By id, data sets that could not be had, from the reason and the settings of each."""
    return {dataset: AbsentDataset(reason, settings) for dataset, (reason, settings) in found.items()}


def run(arguments: Namespace) -> None:
    """Write <task>.{csv,md,tex} and <task>_per_class.{csv,md,tex}."""
    scores, task, labels = read_scores_tables(arguments.scores), arguments.task, arguments.labels
    means, reasons = MEAN_METRICS[task], arguments.reasons
    absent = parse_absent(arguments.absent)
    write_tables(
        arguments.folder, task, [task_table(scores, task, means[0], labels, reasons, absent, arguments.recipes)]
    )
    per_class = per_class_tables(scores, task, CLASS_METRIC[task], means, labels, reasons)
    write_tables(arguments.folder, f"{task}_per_class", per_class)
