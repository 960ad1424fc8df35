"""``cmcr published-table``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.results.collect import read_scores_tables
from cmcr.results.plain_table import write_plain_table
from cmcr.results.published import (
    ComparedMethod,
    Reference,
    read_gaps,
    read_lineages,
    read_names,
    read_published,
    read_splits,
)
from cmcr.results.published_table import published_table


def add_arguments(parser: ArgumentParser) -> None:
    """Scores and published numbers in, tables out."""
    parser.add_argument("--scores", required=True, nargs="+", type=Path, help="tables of scores (tsv)")
    parser.add_argument(
        "--methods",
        required=True,
        type=from_json(dict[str, ComparedMethod]),
        help="label, published_as and teacher of each method id, JSON",
    )
    parser.add_argument(
        "--networks", required=True, type=from_json(dict[str, str]), help="our name of the 3D network by task, JSON"
    )
    parser.add_argument(
        "--detectors", type=from_json(dict[str, str]), default={}, help="published name by data set of detection, JSON"
    )
    parser.add_argument("--names", required=True, type=Path, help="published names of our things (csv)")
    parser.add_argument("--lineages", required=True, type=Path, help="lineage of each source (csv)")
    parser.add_argument("--splits", required=True, type=Path, help="what published numbers were measured on (csv)")
    parser.add_argument("--gaps", required=True, type=Path, help="why a method's numbers are missing (csv)")
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")
    parser.add_argument("published", nargs="+", type=Path, help="published numbers (csv)")


def run(arguments: Namespace) -> None:
    """Write published.{csv,md,tex}."""
    reference = Reference(
        values=[value for path in arguments.published for value in read_published(path)],
        names=read_names(arguments.names),
        lineages=read_lineages(arguments.lineages),
        splits=read_splits(arguments.splits),
        gaps=read_gaps(arguments.gaps),
    )
    scores = read_scores_tables(arguments.scores)
    table = published_table(scores, reference, arguments.methods, arguments.networks, arguments.detectors)
    write_plain_table(arguments.folder, table)
