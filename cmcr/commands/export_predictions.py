"""``cmcr export-predictions``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.data.index import ScanIndex
from cmcr.tasks.predict import write_submission


def add_arguments(parser: ArgumentParser) -> None:
    """Network, scans, and where predictions go."""
    parser.add_argument("--model", required=True, type=Path, help="model.safetensors of a fine-tuning")
    parser.add_argument("--index", required=True, type=Path, help="index of the split to predict")
    parser.add_argument("--output", required=True, type=Path, help="folder of the submission")


def run(arguments: Namespace) -> None:
    """Write one file per scan."""
    write_submission(arguments.model, ScanIndex.load(arguments.index), arguments.output)
