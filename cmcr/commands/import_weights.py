"""``cmcr import-weights``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.pretrain.published import ImportJob, import_weights
from cmcr.printable import printable


def add_arguments(parser: ArgumentParser) -> None:
    """The file, what is known about it, and where the backbone goes."""
    parser.add_argument("weights", type=Path, help="published weights (.pt of SLidR and its like, or safetensors)")
    parser.add_argument("--job", type=from_json(ImportJob), default=ImportJob(), help="what is known about it, JSON")
    parser.add_argument("--output", type=Path, help="weights of the backbone (safetensors); none only looks")


def run(arguments: Namespace) -> None:
    """Print what is in the file, and import it."""
    print(printable(import_weights(arguments.job, arguments.weights, arguments.output).summary()), flush=True)
    print(f"  written   {arguments.output}" if arguments.output else "  written   nothing; --output FILE imports it")
