"""``cmcr collect`` as a script, because the list of inputs may be longer than a shell command may be."""

from argparse import Namespace

from cmcr.commands import collect

collect.run(Namespace(scores=snakemake.input, output=snakemake.output[0]))  # noqa: F821 (given by Snakemake)
