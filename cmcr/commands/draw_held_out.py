"""``cmcr draw-held-out``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.measure_held_out import add_pretraining, load_pretraining
from cmcr.pictures import write_picture
from cmcr.pictures_held_out import draw_occupancy, draw_reconstruction
from cmcr.results.held_out import read_held_out


def add_arguments(parser: ArgumentParser) -> None:
    """A pre-training and a scan in, a picture out."""
    parser.add_argument("kind", choices=("reconstruction", "occupancy"), help="what is drawn")
    add_pretraining(parser)
    parser.add_argument("--scan", type=int, default=0, help="position of the scan in the index")
    parser.add_argument("--measures", type=Path, help="from measure-held-out, to be printed too")
    parser.add_argument("--title", required=True, help="what stands above")
    parser.add_argument("--output", required=True, type=Path, help="the picture (png)")


def run(arguments: Namespace) -> None:
    """Draw one scan."""
    draw = {"reconstruction": draw_reconstruction, "occupancy": draw_occupancy}[arguments.kind]
    measures = read_held_out(arguments.measures) if arguments.measures else None
    figure = draw(load_pretraining(arguments), arguments.scan, measures, arguments.title)
    write_picture(arguments.output, figure, points_first=False)
