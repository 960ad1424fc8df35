"""``cmcr show``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.errors import CMCRError
from cmcr.printable import printable
from cmcr.reading import read_text, reason_of


def add_arguments(parser: ArgumentParser) -> None:
    """The run's folder."""
    parser.add_argument("folder", type=Path, help="a run's folder, for example results/toy")


def run(arguments: Namespace) -> None:
    """Print the main table of each task; name the places of the rest."""
    folder: Path = arguments.folder
    tables = [path for path in (folder / "tables").glob("*.md") if not path.stem.endswith("_per_class")]
    if not tables:
        raise CMCRError(f"{folder / 'tables'}: no tables here\n  way out:  make them with `snakemake all_tables`")
    last = ("ablation", "diagnostics", "published", "cost")  # the tasks come first
    for path in sorted(tables, key=lambda path: (path.stem in last, path)):
        try:
            print(printable(read_text(path)))
        except (OSError, ValueError) as error:
            raise CMCRError(f"{path}\n  expected: a table\n  found:    {reason_of(error)}") from None
    places = {"scores": folder / "scores.tsv", "tables": folder / "tables", "figures": folder / "figures"}
    places["report"] = folder / "report.html"
    for name, path in places.items():
        if path.exists():
            print(f"{name + ':':9}{path}")
