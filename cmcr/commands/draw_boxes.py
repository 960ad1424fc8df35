"""``cmcr draw-boxes``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.data.index import ScanIndex
from cmcr.pictures import write_picture
from cmcr.pictures_detection import MIN_SCORE, draw_detection


def add_arguments(parser: ArgumentParser) -> None:
    """Network, scan, and where the picture goes."""
    parser.add_argument("--model", required=True, type=Path, help="model.safetensors of a fine-tuning for detection")
    parser.add_argument("--index", required=True, type=Path, help="index of a split with boxes")
    parser.add_argument("--scan", type=int, default=0, help="position of the scan in the index")
    parser.add_argument("--camera", type=int, default=0, help="number of the camera to draw into")
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, help="least score shown (default: %(default)s)")
    parser.add_argument("--title", required=True, help="what stands above")
    parser.add_argument("--output", required=True, type=Path, help="the picture (png)")


def run(arguments: Namespace) -> None:
    """Draw one scan."""
    index = ScanIndex.load(arguments.index)
    figure = draw_detection(
        arguments.model, index, arguments.scan, arguments.title, camera=arguments.camera, min_score=arguments.min_score
    )
    write_picture(arguments.output, figure, points_first=False)
