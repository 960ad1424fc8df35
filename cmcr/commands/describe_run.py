"""``cmcr describe-run``"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.config import parse_config
from cmcr.plan import Plan
from cmcr.report.card import describe_run, write_card


def add_arguments(parser: ArgumentParser) -> None:
    """A config in, the run's description out."""
    parser.add_argument("--config", required=True, type=json.loads, help="content of the config file, JSON")
    parser.add_argument("--output", required=True, type=Path, help="the description (JSON)")


def run(arguments: Namespace) -> None:
    """Write the description."""
    plan = Plan.of(parse_config(arguments.config, "--config"), "--config")
    write_card(arguments.output, describe_run(plan, arguments.config))
