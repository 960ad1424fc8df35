"""``cmcr gains-table`` as a script, because the list of inputs may be longer than a shell command may be."""

import sys
from argparse import Namespace
from pathlib import Path

from cmcr.cli import call
from cmcr.commands import gains_table

given = snakemake.params  # noqa: F821 (given by Snakemake)
asked = Namespace(
    baseline=given.baseline,
    labels=dict(given.labels),
    reasons=dict(given.reasons),
    folder=Path(given.folder),
    figures=Path(given.figures),
    frames=snakemake.input,  # noqa: F821
)
if code := call("gains-table", gains_table.run, asked):
    sys.exit(code)
