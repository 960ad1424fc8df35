"""``cmcr draw-course``"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.models.backbone import MINKUNET, NETWORKS
from cmcr.pretrain.course import COURSE_FILE, read_course
from cmcr.results.courses import codebook_figure, losses_figure
from cmcr.results.style import method_looks, write_figure


def add_arguments(parser: ArgumentParser) -> None:
    """Courses in, a figure out."""
    parser.add_argument("kind", choices=("losses", "codebook"), help="what is drawn")
    parser.add_argument("--method", required=True, help="id of the method")
    parser.add_argument("--dataset", required=True, help="id of the data set it was pre-trained on")
    parser.add_argument("--network", default=MINKUNET, choices=NETWORKS, help="the 3D network (default: %(default)s)")
    parser.add_argument("--labels", required=True, type=json.loads, help="name for print of each method id, JSON")
    parser.add_argument("--codes", type=int, help="number of codes; for the codebook")
    parser.add_argument("--folder", required=True, type=Path, help="where the figure goes")
    parser.add_argument(
        "weights", nargs="+", type=Path, help=f"backbone of each seed; its {COURSE_FILE} lies beside it"
    )


def run(arguments: Namespace) -> None:
    """Write <kind>_<dataset>_<method>.svg and .png; of a VoxelNet, <kind>_voxelnet_<dataset>_<method>."""
    kind, method, dataset = arguments.kind, arguments.method, arguments.dataset
    courses = [read_course(weights.parent / COURSE_FILE) for weights in arguments.weights]
    is_first = arguments.network == MINKUNET
    subject = f"{arguments.labels[method]} on {dataset}{'' if is_first else ', VoxelNet'}"
    if kind == "losses":
        figure = losses_figure(courses, f"Pre-training of {subject}", method_looks(arguments.labels)[method].colour)
    else:
        figure = codebook_figure(courses, f"Codebook of {subject}: {arguments.codes} codes", arguments.codes)
    write_figure(arguments.folder, f"{kind}{'' if is_first else f'_{arguments.network}'}_{dataset}_{method}", figure)
