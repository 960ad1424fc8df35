"""``cmcr check-data``"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.config import read_config
from cmcr.data.check import as_text, check_split, splits_here
from cmcr.data.index import READERS
from cmcr.errors import ConfigError, DataError


def add_arguments(parser: ArgumentParser) -> None:
    """A data set, by a config file or by itself, and which of its splits."""
    parser.add_argument("--dataset", required=True, help="id of the data set in the config, or any name for it")
    parser.add_argument("--config", type=Path, help="config file that has the data set; or say what it is:")
    parser.add_argument("--format", choices=READERS, help="on-disk format")
    parser.add_argument("--version", help="the data set's own name of its release")
    parser.add_argument("--root", type=Path, help="folder of the data set")
    parser.add_argument("--split", action="append", help="split to check, may be repeated (default: all that are here)")
    parser.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), help="processes that read (default: one a core)"
    )


def run(arguments: Namespace) -> None:
    """Print what the data set holds and what is wrong with it; fail if anything is."""
    if arguments.processes < 1:
        raise ConfigError(f"--processes: expected 1 or more, found {arguments.processes}")
    format, version, root = _place(arguments)
    splits = arguments.split or splits_here(format, root, version)
    if not splits:
        raise DataError.at(
            root,
            expected=f"{version} in the format {format}",
            found="nothing of any of its splits",
            fix="correct --root (config: root), --version or --format; docs/datasets.md shows the expected folders",
        )
    reports = [check_split(arguments.dataset, format, root, version, split, arguments.processes) for split in splits]
    print(as_text(reports), end="")
    bad = sum(len(report.problems) for report in reports)
    if bad:
        raise DataError(f"{bad} problems in {arguments.dataset} below {root}; they are listed above")


def _place(arguments: Namespace) -> tuple[str, str, Path]:
    """Return format, version and root of the data set."""
    given = (arguments.format, arguments.version, arguments.root)
    if arguments.config is None:
        if None in given:
            raise ConfigError("expected --config FILE, or all of --format, --version and --root")
        return given
    if given != (None, None, None):
        raise ConfigError("--config says format, version and root; leave them out, or leave out --config")
    config = read_config(arguments.config)
    if arguments.dataset not in config.datasets:
        raise ConfigError(
            f"{arguments.config}: no data set {arguments.dataset!r}\n  way out:  one of {', '.join(config.datasets)}"
        )
    options = config.datasets[arguments.dataset]
    # The toy city lies where the workflow makes it.
    root = options.root or Path("results") / config.run_name / "data" / arguments.dataset
    return options.format, options.version, root
