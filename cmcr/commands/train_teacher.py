"""``cmcr train-teacher``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.checkpoints import save_tensors
from cmcr.commands.arguments import from_json
from cmcr.compute import ComputeOptions, prepare
from cmcr.data.image_bank import IndexImages
from cmcr.data.images import ImageOptions
from cmcr.data.joined import load_joined
from cmcr.models.image_encoder import SmallTeacherOptions
from cmcr.pretrain.teacher import TeacherRecipe, train_teacher


def add_arguments(parser: ArgumentParser) -> None:
    """Encoder, recipe, images, and where the weights go."""
    parser.add_argument("--options", required=True, type=from_json(SmallTeacherOptions), help="encoder, JSON")
    parser.add_argument("--recipe", required=True, type=from_json(TeacherRecipe), help="training, JSON")
    parser.add_argument("--images", required=True, type=from_json(ImageOptions), help="size, JSON")
    parser.add_argument(
        "--index", required=True, type=Path, nargs="+", help="index of the training split, one for each data set"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of initialisation and augmentation")
    parser.add_argument("--compute", required=True, type=from_json(ComputeOptions), help="threads, JSON")
    parser.add_argument("--output", required=True, type=Path, help="the weight file (safetensors)")


def run(arguments: Namespace) -> None:
    """Train on the images of the index and write the weights."""
    prepare(arguments.compute, arguments.seed)
    images = IndexImages(load_joined(arguments.index), arguments.images.size)
    encoder = train_teacher(arguments.options, arguments.recipe, images, arguments.seed)
    save_tensors(arguments.output, encoder.state_dict(), {"options": arguments.options.model_dump_json()})
