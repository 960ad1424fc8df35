"""``cmcr draw-features``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.index import ScanIndex
from cmcr.pictures import draw_pretraining, write_picture
from cmcr.pretrain.job import PretrainJob


def add_arguments(parser: ArgumentParser) -> None:
    """Network, scan, and where the picture goes."""
    parser.add_argument("--job", required=True, type=from_json(PretrainJob), help="the pre-training, JSON")
    parser.add_argument("--weights", required=True, type=Path, help="backbone from pretrain (safetensors)")
    parser.add_argument("--index", required=True, type=Path, help="index of a split with images")
    parser.add_argument("--scan", type=int, default=0, help="position of the scan in the index")
    parser.add_argument("--title", required=True, help="what stands above")
    parser.add_argument("--output", required=True, type=Path, help="the picture (png)")


def run(arguments: Namespace) -> None:
    """Draw one scan."""
    index = ScanIndex.load(arguments.index)
    figure = draw_pretraining(arguments.weights, arguments.job, index, arguments.scan, arguments.title)
    write_picture(arguments.output, figure)
