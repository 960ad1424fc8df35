"""``cmcr finetune``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.index import ScanIndex
from cmcr.data.subsets import Subset
from cmcr.tasks.finetune import finetune
from cmcr.tasks.job import FinetuneJob


def add_arguments(parser: ArgumentParser) -> None:
    """The job, what it reads, and where weights and scores go."""
    parser.add_argument("--job", required=True, type=from_json(FinetuneJob), help="the job, JSON")
    parser.add_argument("--weights", required=True, type=Path, help="backbone from pretrain (safetensors)")
    parser.add_argument("--train-index", required=True, type=Path, help="index of the training split")
    parser.add_argument("--subset", required=True, type=Path, help="scans of it whose labels may be used")
    parser.add_argument("--validation-index", required=True, type=Path, help="index of the split to score")
    parser.add_argument(
        "--pretrain-index",
        type=Path,
        nargs="+",
        default=[],
        help="index of the scans of pre-training, none of which is scored, one for each data set",
    )
    parser.add_argument("--folder", required=True, type=Path, help="for logs and the checkpoint of a run under way")
    parser.add_argument("--model", required=True, type=Path, help="weights of backbone and head (safetensors)")
    parser.add_argument("--scores", required=True, type=Path, help="the scores file (JSON)")
    parser.add_argument("--frames", required=True, type=Path, help="statistics of each validation scan (safetensors)")


def run(arguments: Namespace) -> None:
    """Fine-tune and score one network."""
    train_index, validation_index = (
        ScanIndex.load(path) for path in (arguments.train_index, arguments.validation_index)
    )
    for path in arguments.pretrain_index:
        ScanIndex.load(path).check_unseen(validation_index)
    finetune(
        arguments.job,
        arguments.weights,
        train_index,
        Subset.load(arguments.subset).positions_in(train_index, arguments.subset),
        validation_index,
        arguments.folder,
        arguments.model,
        arguments.scores,
        arguments.frames,
    )
