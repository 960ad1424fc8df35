"""``cmcr config-docs``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.config_docs import reference, schema
from cmcr.files import write_text
from cmcr.pretrain.plugins import find_plugins, load_plugin_file


def add_arguments(parser: ArgumentParser) -> None:
    """Where the pages go."""
    parser.add_argument("--reference", type=Path, default=Path("config/README.md"), help="the page (Markdown)")
    parser.add_argument("--schema", type=Path, default=Path("workflow/schemas/config.schema.json"), help="JSON schema")


def run(arguments: Namespace) -> None:
    """Write both."""
    methods = {method: load_plugin_file(path).Options for method, path in find_plugins().items()}
    write_text(arguments.reference, reference(methods))
    write_text(arguments.schema, schema())
