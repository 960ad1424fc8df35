"""``cmcr pretrain``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.image_bank import read_feature_bank
from cmcr.data.index import ScanIndex
from cmcr.models.image_encoder import TeacherOptions, make_image_encoder
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.plugins import load_plugin_file
from cmcr.pretrain.run import pretrain


def add_arguments(parser: ArgumentParser) -> None:
    """The job, what it reads, and where the weights go."""
    parser.add_argument("--job", required=True, type=from_json(PretrainJob), help="the job, JSON")
    parser.add_argument("--plugin", required=True, type=Path, help="the method's file")
    parser.add_argument("--index", type=Path, help="index of the training split; none for a method without training")
    parser.add_argument(
        "--teacher", type=from_json(TeacherOptions), help="image encoder, JSON; none for a method without images"
    )
    parser.add_argument("--teacher-weights", type=Path, help="weights of a small teacher")
    parser.add_argument("--feature-bank", type=Path, help="features of all images from encode-images")
    parser.add_argument("--superpixels", type=Path, help="folder with superpixels from segment-images")
    parser.add_argument("--folder", required=True, type=Path, help="for logs and the checkpoint of a run under way")
    parser.add_argument("--output", required=True, type=Path, help="weights of the backbone (safetensors)")


def run(arguments: Namespace) -> None:
    """Pre-train one backbone."""
    index = ScanIndex.load(arguments.index) if arguments.index else None
    pretrain(
        arguments.job,
        load_plugin_file(arguments.plugin),
        index=index,
        encoder=make_image_encoder(arguments.teacher, arguments.teacher_weights) if arguments.teacher else None,
        feature_bank=read_feature_bank(arguments.feature_bank, index) if arguments.feature_bank else None,
        folder=arguments.folder,
        output=arguments.output,
        superpixels=arguments.superpixels,
    )
