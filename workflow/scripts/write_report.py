"""``cmcr report`` as a script, because the list of inputs may be longer than a shell command may be."""

import logging
import sys
from argparse import Namespace
from pathlib import Path

from cmcr.cli import call
from cmcr.commands import report

given = snakemake  # noqa: F821 (given by Snakemake)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", filename=given.log[0])
folder = Path(given.params.folder)
asked = Namespace(
    folder=folder,
    files=[path for path in given.input if Path(path).is_relative_to(folder)],
    output=Path(given.output[0]),
    fidelity=Path(given.input.fidelity),
    max_pictures_mb=report.MAX_PICTURES_MB,
)
if code := call("report", report.run, asked):
    sys.exit(code)
