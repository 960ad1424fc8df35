"""The command line: ``cmcr <command>``. Each command is a module of `cmcr.commands`, imported when it is called."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from cmcr.errors import CMCRError
from cmcr.files import refusal
from cmcr.printable import PlainFormatter, printable

#: Name and summary of each command; its module has ``add_arguments(parser)`` and ``run(arguments)``.
COMMANDS = {
    "make-toy-scene": "render one scene of the toy city",
    "make-toy-tables": "put the toy city's scenes together as one data set",
    "check-data": "walk a data set: what it holds, and which of its files are missing or damaged",
    "index": "list the scans of a data set's split",
    "subset": "choose the scans whose labels may be used",
    "train-teacher": "pre-train the small image encoder without labels",
    "encode-images": "run the frozen image encoder once over all images",
    "segment-images": "cut images into superpixels",
    "pretrain": "pre-train a 3D network with one method",
    "import-weights": "read the published weights of a 3D network, and make them a backbone",
    "finetune": "fine-tune a pre-trained network for a task, and score it",
    "diagnose": "measure what the features of a pre-trained network hold",
    "collect": "gather scores files into one table",
    "tables": "write the comparison tables",
    "gains-table": "write the table of gains over a baseline, with intervals",
    "transfer-table": "write the table of data sets that pre-training did not see",
    "ablation-table": "write the table of what varies one method",
    "published-table": "write a run's numbers beside published ones",
    "cost-table": "write the table of what each method costs",
    "diagnostics-table": "write the table of what pre-trained networks hold",
    "figure": "draw a figure of the comparison",
    "draw-features": "draw paired points and learned features on the images of a scan",
    "draw-course": "draw the losses of a pre-training, or the use of its codebook, over the steps",
    "draw-held-out": "draw what a pre-trained method makes of a scan it never saw",
    "draw-panoptic": "draw the instances that a panoptic network finds, beside the true ones",
    "draw-boxes": "draw the boxes that a detector finds in a scan, and the labelled ones",
    "measure-held-out": "measure a pre-trained method on scans it never saw",
    "describe-run": "write down what a run was asked to do",
    "report": "write the report of a run: one page with its tables, figures and provenance",
    "plan": "say what a run will cost before it starts: jobs, steps, hours, memory, disk",
    "step-times": "measure the times of steps from a run's logs, for plan",
    "show": "print a run's tables and say where everything is",
    "results": "list, show, compare and export finished runs",
    "methods": "list the methods that can be run",
    "export-predictions": "write a fine-tuned network's predictions in the official submission format",
    "export-weights": "write a backbone in MinkowskiEngine's layout, for others",
    "config-docs": "print the config reference and the JSON schema from the code",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. An error that the user can mend is printed without a traceback."""
    # Before numpy is imported: with more threads its matrix products round otherwise, and bytes would depend on the
    # machine. (Snakemake gives its jobs the same; torch's threads are an option of the config.)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="cmcr", description="Image-to-LiDAR pre-training, compared.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    asked = arguments[0] if arguments else ""
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == asked:
            module = import_module(f"cmcr.commands.{name.replace('-', '_')}")
            module.add_arguments(command)
    parsed = parser.parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return call(parsed.command, module.run, parsed)


def call(command: str, run: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Run a command's function and return the exit code; what the user can mend is one message on standard error."""
    try:
        run(arguments)
    except CMCRError as error:
        print(f"cmcr {command}: {printable(str(error))}", file=sys.stderr)
        return 1
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        print(f"cmcr {command}: {printable(str(refused))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
