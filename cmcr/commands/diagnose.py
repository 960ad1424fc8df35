"""``cmcr diagnose``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.index import ScanIndex
from cmcr.diagnostics.job import DiagnoseJob
from cmcr.diagnostics.run import diagnose
from cmcr.pretrain.plugins import load_plugin_file


def add_arguments(parser: ArgumentParser) -> None:
    """The job, what it reads, and where the record goes."""
    parser.add_argument("--job", required=True, type=from_json(DiagnoseJob), help="the job, JSON")
    parser.add_argument("--plugin", type=Path, help="the method's file; none for a backbone alone")
    parser.add_argument("--weights", required=True, type=Path, help="backbone, with the method's weights beside it")
    parser.add_argument("--teacher-weights", type=Path, help="weights of a small teacher")
    parser.add_argument("--train-index", required=True, type=Path, help="index of the split to fit to")
    parser.add_argument("--validation-index", required=True, type=Path, help="index of the split to measure on")
    parser.add_argument("--output", required=True, type=Path, help="the record (JSON)")


def run(arguments: Namespace) -> None:
    """Measure what one pre-trained backbone and its heads hold."""
    diagnose(
        arguments.job,
        load_plugin_file(arguments.plugin) if arguments.plugin else None,
        arguments.weights,
        arguments.teacher_weights,
        ScanIndex.load(arguments.train_index),
        ScanIndex.load(arguments.validation_index),
        arguments.output,
    )
