"""``cmcr subset``"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from cmcr.data.index import ScanIndex
from cmcr.data.subsets import SubsetRule, make_subset

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Share, rule, and where the subset goes."""
    parser.add_argument("--index", required=True, type=Path, help="index of the training split")
    parser.add_argument("--percent", required=True, type=float, help="share of the labels in percent")
    parser.add_argument("--rule", required=True, choices=get_args(SubsetRule), help="what is counted off")
    parser.add_argument("--output", required=True, type=Path, help="the subset file")


def run(arguments: Namespace) -> None:
    """Write the subset."""
    index = ScanIndex.load(arguments.index)
    subset = make_subset(index, arguments.percent, arguments.rule)
    subset.save(arguments.output)
    logger.info("%d of %d scans", len(subset.positions_in(index)), len(index))
