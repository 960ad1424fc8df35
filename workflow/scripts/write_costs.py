"""``cmcr cost-table`` as a script, because the list of files may be longer than a shell command may be."""

import sys
from argparse import ArgumentParser

from cmcr.cli import call
from cmcr.commands import cost_table

parser = ArgumentParser()
cost_table.add_arguments(parser)
given = snakemake.params  # noqa: F821 (given by Snakemake)
arguments = ["--methods", given.methods, "--device", given.device, "--devices", str(given.devices)]
arguments += ["--folder", given.folder, "--figures", given.figures]
if code := call("cost-table", cost_table.run, parser.parse_args(arguments)):
    sys.exit(code)
