"""``cmcr make-toy-tables``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.data.toy.city import write_tables


def add_arguments(parser: ArgumentParser) -> None:
    """Parts in, tables out."""
    parser.add_argument("--root", required=True, type=Path, help="nuScenes folder to write the tables into")
    parser.add_argument("parts", nargs="+", type=Path, help="files that make-toy-scene wrote with --part")


def run(arguments: Namespace) -> None:
    """Write all tables."""
    write_tables(arguments.parts, arguments.root)
