"""``cmcr export-weights``"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.checkpoints import save_tensors
from cmcr.errors import WeightsError
from cmcr.models.backbone import load_backbone, read_record
from cmcr.models.minkowski import to_minkowski
from cmcr.models.minkunet import MinkUNetOptions

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """The backbone, and where its weights go."""
    parser.add_argument("backbone", type=Path, help="backbone from pretrain or import-weights (safetensors)")
    parser.add_argument(
        "--output", required=True, type=Path, help="the weights in MinkowskiEngine's layout (safetensors)"
    )


def run(arguments: Namespace) -> None:
    """Write the weights under MinkowskiEngine's names, with the record of what they are."""
    record = read_record(arguments.backbone)
    if not isinstance(record.backbone, MinkUNetOptions):
        raise WeightsError(
            f"{arguments.backbone}\n  expected: weights of a MinkUNet, whose layers MinkowskiEngine has\n"
            f"  found:    weights of a {record.backbone.kind}"
        )
    backbone, _ = load_backbone(arguments.backbone, record.backbone, record.voxels)
    tensors = to_minkowski(backbone.state_dict())
    save_tensors(arguments.output, tensors, {"backbone": record.model_dump_json()})
    logger.info("wrote %d tensors to %s", len(tensors), arguments.output)
