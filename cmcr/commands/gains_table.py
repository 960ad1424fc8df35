"""``cmcr gains-table``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.tables import add_compared
from cmcr.results.frames import read_frames
from cmcr.results.gains import gains_table
from cmcr.results.overview_figures import gains_figure
from cmcr.results.style import write_figure
from cmcr.results.table_text import write_tables


def add_arguments(parser: ArgumentParser) -> None:
    """Statistics of validation scans in, tables out."""
    parser.add_argument("--baseline", required=True, help="id of the method that the others are compared with")
    add_compared(parser)
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")
    parser.add_argument("--figures", required=True, type=Path, help="where the figure goes")
    parser.add_argument("frames", nargs="+", type=Path, help="files that finetune wrote beside its scores")


def run(arguments: Namespace) -> None:
    """Write gains.{csv,md,tex} and gains.{svg,png}."""
    frames = [read_frames(path) for path in arguments.frames]
    table = gains_table(frames, arguments.baseline, arguments.labels, arguments.reasons)
    write_tables(arguments.folder, "gains", [table])
    write_figure(arguments.figures, "gains", gains_figure(table))
