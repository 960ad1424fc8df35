"""``cmcr report``"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.files import write_text
from cmcr.report.files import RunFiles
from cmcr.report.page import render_report

#: Chosen here: what mail and chat let through.
MAX_PICTURES_MB = 12.0
FIDELITY = Path(__file__).resolve().parents[2] / "docs" / "fidelity.md"

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """A run's folder in, one page out."""
    parser.add_argument("folder", type=Path, help="a run's folder, for example results/toy")
    parser.add_argument("--output", type=Path, help="the page; report.html in the run's folder if left out")
    parser.add_argument("--fidelity", type=Path, default=FIDELITY, help="the page of differences (Markdown)")
    parser.add_argument(
        "--max-pictures-mb",
        type=float,
        default=MAX_PICTURES_MB,
        help=f"pictures that take more are shrunk; {MAX_PICTURES_MB:g} if left out",
    )
    parser.set_defaults(files=None)


def run(arguments: Namespace) -> None:
    """Write the page, of the files that are named or of all that lie in the folder."""
    folder = arguments.folder
    files = RunFiles.found(folder) if arguments.files is None else RunFiles.of(folder, arguments.files)
    page = render_report(files, arguments.fidelity, round(arguments.max_pictures_mb * 1e6))
    output = arguments.output or folder / "report.html"
    write_text(output, page)
    logger.info("wrote %s, %.1f MB", output, len(page.encode()) / 1e6)
