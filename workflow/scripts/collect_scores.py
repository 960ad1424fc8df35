"""``cmcr collect`` as a script, because the list of inputs may be longer than a shell command may be."""

import sys
from argparse import Namespace

from cmcr.cli import call
from cmcr.commands import collect

asked = Namespace(scores=snakemake.input, output=snakemake.output[0])  # noqa: F821 (given by Snakemake)
if code := call("collect", collect.run, asked):
    sys.exit(code)
