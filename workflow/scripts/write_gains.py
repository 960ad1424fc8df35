"""``cmcr gains-table`` as a script, because the list of inputs may be longer than a shell command may be."""

from argparse import Namespace
from pathlib import Path

from cmcr.commands import gains_table

given = snakemake.params  # noqa: F821 (given by Snakemake)
gains_table.run(
    Namespace(
        baseline=given.baseline,
        labels=dict(given.labels),
        reasons=dict(given.reasons),
        folder=Path(given.folder),
        figures=Path(given.figures),
        frames=snakemake.input,  # noqa: F821
    )
)
