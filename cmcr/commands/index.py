"""``cmcr index``"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path

from cmcr.data.index import READERS

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Data set, split, and where the index goes."""
    parser.add_argument("--dataset", required=True, help="id of the data set in the config")
    parser.add_argument("--format", required=True, choices=READERS, help="on-disk format")
    parser.add_argument("--root", required=True, type=Path, help="folder of the data set")
    parser.add_argument("--version", required=True, help="the data set's own name of its release")
    parser.add_argument("--split", required=True, help="the data set's own name of the split")
    parser.add_argument("--output", required=True, type=Path, help="the index file")


def run(arguments: Namespace) -> None:
    """Look at every file of the split once and write the index."""
    module = import_module(f"cmcr.data.{arguments.format}_index")
    index = module.make_index(arguments.dataset, arguments.root, arguments.version, arguments.split)
    index.save(arguments.output)
    logger.info("%d scans of %s, checksum %s", len(index), arguments.split, index.checksum[:12])
