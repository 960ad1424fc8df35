"""``cmcr make-toy-scene``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.toy.city import ToyCityOptions, write_scene


def add_arguments(parser: ArgumentParser) -> None:
    """Options, scene, and where it goes."""
    parser.add_argument("--options", required=True, type=from_json(ToyCityOptions), help="options as JSON")
    parser.add_argument("--scene", required=True, help="official name of a nuScenes mini scene")
    parser.add_argument("--root", required=True, type=Path, help="nuScenes folder to write sensor files into")
    parser.add_argument("--part", required=True, type=Path, help="the scene's share of the tables, written last")


def run(arguments: Namespace) -> None:
    """Write one scene."""
    write_scene(arguments.options, arguments.scene, arguments.root, arguments.part)
