"""``cmcr figure``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.tables import add_compared
from cmcr.results.collect import read_scores_table
from cmcr.results.figures import label_efficiency_figure, per_class_figure
from cmcr.results.style import write_figure
from cmcr.results.summary import CLASS_METRIC, MEAN_METRICS


def add_arguments(parser: ArgumentParser) -> None:
    """Scores in, a figure out."""
    parser.add_argument("kind", choices=("label_efficiency", "per_class"), help="what is drawn")
    parser.add_argument("--scores", required=True, type=Path, help="table of scores (tsv)")
    parser.add_argument("--task", required=True, choices=tuple(MEAN_METRICS), help="whose scores are drawn")
    parser.add_argument("--dataset", required=True, help="id of the data set shown")
    add_compared(parser)
    parser.add_argument("--folder", required=True, type=Path, help="where the figure goes")


def run(arguments: Namespace) -> None:
    """Write <task>_<dataset>_<kind>.svg and .png."""
    scores, task, dataset = read_scores_table(arguments.scores), arguments.task, arguments.dataset
    labels, reasons = arguments.labels, arguments.reasons
    if arguments.kind == "label_efficiency":
        figure = label_efficiency_figure(scores, task, MEAN_METRICS[task][0], labels, dataset, reasons)
    else:
        figure = per_class_figure(scores, task, CLASS_METRIC[task], labels, dataset, reasons=reasons)
    write_figure(arguments.folder, f"{task}_{dataset}_{arguments.kind}", figure)
