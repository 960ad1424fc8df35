"""``cmcr methods``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.errors import PluginError
from cmcr.pretrain.plugins import find_plugins, load_plugin_file


def add_arguments(parser: ArgumentParser) -> None:
    """Where else to look."""
    parser.add_argument("--plugin-dir", action="append", default=[], type=Path, help="a further folder with methods")


def run(arguments: Namespace) -> None:
    """Print id, label and source of every method; a broken one is named and does not hide the others."""
    for method_id, path in find_plugins(arguments.plugin_dir).items():
        try:
            cls = load_plugin_file(path)
        except PluginError as error:
            print(f"{method_id:20} BROKEN: {error}")
            continue
        source = ", ".join(filter(None, (cls.source.paper, cls.source.code)))
        print(f"{method_id:20} {cls.label:20} {source}")
