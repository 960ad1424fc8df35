"""``cmcr encode-images``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.compute import ComputeOptions, prepare
from cmcr.data.image_bank import write_feature_bank
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.models.image_encoder import TeacherOptions, make_image_encoder


def add_arguments(parser: ArgumentParser) -> None:
    """Encoder, images, and where the features go."""
    parser.add_argument("--teacher", required=True, type=from_json(TeacherOptions), help="image encoder, JSON")
    parser.add_argument("--weights", type=Path, help="weights of a small teacher")
    parser.add_argument("--images", required=True, type=from_json(ImageOptions), help="size, JSON")
    parser.add_argument("--index", required=True, type=Path, help="index whose images are encoded")
    parser.add_argument("--compute", required=True, type=from_json(ComputeOptions), help="threads, JSON")
    parser.add_argument("--output", required=True, type=Path, help="the features (npy)")


def run(arguments: Namespace) -> None:
    """Encode every image of the index once."""
    prepare(arguments.compute, seed=0)
    encoder = make_image_encoder(arguments.teacher, arguments.weights).to(arguments.compute.device)
    index = ScanIndex.load(arguments.index)
    write_feature_bank(arguments.output, index, arguments.images.size, encoder, arguments.compute.device)
