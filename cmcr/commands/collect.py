"""``cmcr collect``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.results.collect import collect_scores, write_scores_table


def add_arguments(parser: ArgumentParser) -> None:
    """Scores in, one table out."""
    parser.add_argument("--output", required=True, type=Path, help="the table (tsv), one row per number")
    parser.add_argument("scores", nargs="+", type=Path, help="scores files")


def run(arguments: Namespace) -> None:
    """Gather the scores."""
    write_scores_table(arguments.output, collect_scores(arguments.scores))
