"""``cmcr draw-panoptic``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.data.index import ScanIndex
from cmcr.pictures import write_picture
from cmcr.pictures_panoptic import draw_panoptic


def add_arguments(parser: ArgumentParser) -> None:
    """Network, scan, and where the picture goes."""
    parser.add_argument("--model", required=True, type=Path, help="model.safetensors of a panoptic fine-tuning")
    parser.add_argument("--index", required=True, type=Path, help="index of a split with panoptic labels")
    parser.add_argument("--scan", type=int, default=0, help="position of the scan in the index")
    parser.add_argument("--title", required=True, help="what stands above")
    parser.add_argument("--output", required=True, type=Path, help="the picture (png)")


def run(arguments: Namespace) -> None:
    """Draw one scan."""
    figure = draw_panoptic(arguments.model, ScanIndex.load(arguments.index), arguments.scan, arguments.title)
    write_picture(arguments.output, figure)
