"""``cmcr make-toy-tables``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.data.toy.city import NUSCENES, join_scenes
from cmcr.data.toy.formats import FORMATS


def add_arguments(parser: ArgumentParser) -> None:
    """Parts in, one data set out."""
    parser.add_argument("--format", default=NUSCENES, choices=FORMATS, help="on-disk format")
    parser.add_argument("--root", required=True, type=Path, help="folder of the data set")
    parser.add_argument("parts", nargs="+", type=Path, help="files that make-toy-scene wrote with --part")


def run(arguments: Namespace) -> None:
    """Put the scenes together."""
    join_scenes(arguments.parts, arguments.root, arguments.format)
