"""``cmcr make-toy-scene``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.toy.city import NUSCENES, ToyCityOptions, write_scene
from cmcr.data.toy.formats import FORMATS


def add_arguments(parser: ArgumentParser) -> None:
    """Options, format, scene, and where it goes."""
    parser.add_argument("--options", required=True, type=from_json(ToyCityOptions), help="options as JSON")
    parser.add_argument("--format", default=NUSCENES, choices=FORMATS, help="on-disk format")
    parser.add_argument("--scene", required=True, help="official name of one of the format's scenes or sequences")
    parser.add_argument("--root", required=True, type=Path, help="folder of the data set to write sensor files into")
    parser.add_argument("--part", required=True, type=Path, help="what else the scene holds, written last")


def run(arguments: Namespace) -> None:
    """Write one scene."""
    write_scene(arguments.options, arguments.scene, arguments.root, arguments.part, arguments.format)
