"""``cmcr measure-held-out``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.index import ScanIndex
from cmcr.models.image_encoder import TeacherOptions, make_image_encoder
from cmcr.pretrain.course import COURSE_FILE
from cmcr.pretrain.held_out import Pretrained, measure_held_out
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.plugins import load_plugin_file
from cmcr.results.held_out import write_held_out


def add_arguments(parser: ArgumentParser) -> None:
    """A pre-training and scans in, measures out."""
    add_pretraining(parser)
    parser.add_argument("--dataset", required=True, help="id of the data set")
    parser.add_argument("--toy", action="store_true", help="the data are invented")
    parser.add_argument("--output", required=True, type=Path, help="the measures (JSON)")


def add_pretraining(parser: ArgumentParser) -> None:
    """A pre-training, and the scans it is to be shown."""
    parser.add_argument("--job", required=True, type=from_json(PretrainJob), help="the pre-training, JSON")
    parser.add_argument("--plugin", required=True, type=Path, help="the method's file")
    parser.add_argument("--weights", required=True, type=Path, help="backbone from pretrain (safetensors)")
    parser.add_argument("--index", required=True, type=Path, help="index of a split that training never saw")
    parser.add_argument(
        "--teacher", type=from_json(TeacherOptions), help="image encoder, JSON; none for a method without images"
    )
    parser.add_argument("--teacher-weights", type=Path, help="weights of a small teacher")


def load_pretraining(arguments: Namespace) -> Pretrained:
    """Load what `add_pretraining` asked for."""
    return Pretrained.load(
        arguments.job,
        load_plugin_file(arguments.plugin),
        arguments.weights,
        ScanIndex.load(arguments.index),
        make_image_encoder(arguments.teacher, arguments.teacher_weights) if arguments.teacher else None,
    )


def run(arguments: Namespace) -> None:
    """Measure one pre-training."""
    course = arguments.weights.parent / COURSE_FILE
    measured = measure_held_out(load_pretraining(arguments), course, arguments.dataset, toy=arguments.toy)
    write_held_out(arguments.output, measured)
