"""``cmcr ablation-table``"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.results.ablation import MEASURED, ablation_table
from cmcr.results.collect import read_scores_tables
from cmcr.results.held_out import read_held_out
from cmcr.results.overview_figures import ablation_figure
from cmcr.results.style import write_figure
from cmcr.results.table_text import write_tables


def add_arguments(parser: ArgumentParser) -> None:
    """Scores and held-out measures in, tables out."""
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="tables of scores (tsv)")
    parser.add_argument("--rows", required=True, type=json.loads, help="ids of rows by that of their method, JSON")
    parser.add_argument("--labels", required=True, type=json.loads, help="name for print of each method id, JSON")
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")
    parser.add_argument("--figures", required=True, type=Path, help="where the figure goes")
    parser.add_argument("held_out", nargs="*", type=Path, help="files that measure-held-out wrote")


def run(arguments: Namespace) -> None:
    """Write ablation.{csv,md,tex} and ablation.{svg,png}."""
    held_out = [read_held_out(path) for path in arguments.held_out]
    table = ablation_table(read_scores_tables(arguments.scores), held_out, arguments.rows, arguments.labels)
    write_tables(arguments.folder, "ablation", [table])
    write_figure(arguments.figures, "ablation", ablation_figure(table, MEASURED))
