"""``cmcr transfer-table``"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.tables import add_compared, parse_absent
from cmcr.results.collect import read_scores_tables
from cmcr.results.table_text import write_tables
from cmcr.results.transfer import transfer_table


def add_arguments(parser: ArgumentParser) -> None:
    """Scores in, tables out."""
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="tables of scores (tsv)")
    parser.add_argument("--pretrained-on", required=True, nargs="+", help="ids of the data sets of pre-training")
    parser.add_argument("--absent", type=json.loads, default={}, help="data sets not to be had, by task and id, JSON")
    add_compared(parser)
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")


def run(arguments: Namespace) -> None:
    """Write transfer.{csv,md,tex}."""
    absent = {task: parse_absent(found) for task, found in arguments.absent.items()}
    scores = read_scores_tables(arguments.scores)
    table = transfer_table(scores, arguments.pretrained_on, arguments.labels, arguments.reasons, absent)
    write_tables(arguments.folder, "transfer", [table])
