"""``cmcr render-toy-drive``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.toy.city import ToyCityOptions, render_drive


def add_arguments(parser: ArgumentParser) -> None:
    """Options, scene, and where it goes."""
    parser.add_argument("--options", required=True, type=from_json(ToyCityOptions), help="options as JSON")
    parser.add_argument("--scene", required=True, help="official name of a nuScenes mini scene")
    parser.add_argument("--output", required=True, type=Path, help="drive.json, written last; the rest lies beside it")


def run(arguments: Namespace) -> None:
    """Render one drive."""
    render_drive(arguments.options, arguments.scene, arguments.output)
