"""``cmcr diagnostics-table``"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.results.diagnostics import Diagnosis, diagnostics_tables
from cmcr.results.records import read_record
from cmcr.results.table_text import write_tables


def add_arguments(parser: ArgumentParser) -> None:
    """Records in, tables out."""
    parser.add_argument("--labels", required=True, type=json.loads, help="name for print of each method id, JSON")
    parser.add_argument("--folder", required=True, type=Path, help="where the tables go")
    parser.add_argument("records", nargs="+", type=Path, help="files that diagnose wrote")


def run(arguments: Namespace) -> None:
    """Write diagnostics.{csv,md,tex}."""
    diagnoses = [read_record(path, Diagnosis, "diagnostics") for path in arguments.records]
    write_tables(arguments.folder, "diagnostics", diagnostics_tables(diagnoses, arguments.labels))
