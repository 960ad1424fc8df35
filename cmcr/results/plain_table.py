"""Tables of texts as CSV, Markdown and LaTeX, for what is no matrix of scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmcr.files import write_text
from cmcr.results.table_text import escape_latex, escape_markdown


@dataclass(frozen=True)
class PlainColumn:
    """A column in print; ``number`` sets it flush right, ``once`` leaves out what the line above has said."""

    label: str
    number: bool = False
    once: bool = False


@dataclass(frozen=True)
class PlainTable:
    """A finished table. All texts are plain: whoever prints them escapes them.

    Attributes:
        name: for cross-references.
        caption: what stands above.
        columns: of the printed forms.
        lines: the text of each cell of the printed forms.
        rows: what the CSV holds instead, all in full; each with the same keys.
        keys: of ``rows``, in order.
        notes: what stands below, a line each.
    """

    name: str
    caption: str
    columns: Sequence[PlainColumn]
    lines: Sequence[Sequence[str]]
    rows: Sequence[Mapping[str, object]]
    keys: Sequence[str]
    notes: Sequence[str] = ()


def to_csv(table: PlainTable) -> str:
    """A header and one line per row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table.keys), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.rows)
    return text.getvalue()


def to_markdown(table: PlainTable) -> str:
    """Caption, padded table, and notes."""
    parts = [escape_markdown(table.caption)]
    if table.lines:
        cells = [[escape_markdown(column.label) for column in table.columns]]
        cells += [[escape_markdown(text) for text in line] for line in _without_repeats(table)]
        widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(table.columns))]
        rule = [
            "-" * (width - 1) + ":" if column.number else "-" * width
            for width, column in zip(widths, table.columns, strict=True)
        ]
        cells.insert(1, rule)
        padded = [
            [
                text.rjust(width) if column.number else text.ljust(width)
                for text, width, column in zip(line, widths, table.columns, strict=True)
            ]
            for line in cells
        ]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in padded))
    if table.notes:
        parts.append("\n".join(f"- {escape_markdown(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def to_latex(table: PlainTable) -> str:
    """A table that may run over several pages; needs the packages booktabs and longtable."""
    if not table.lines:
        return "\n".join([escape_latex(text) for text in (table.caption, *table.notes)]) + "\n"
    width = len(table.columns)
    header = " & ".join(escape_latex(column.label) for column in table.columns) + r" \\"
    lines = [
        "% needs \\usepackage{booktabs,longtable}",
        r"{\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{longtable}}{{{''.join('r' if column.number else 'l' for column in table.columns)}}}",
        rf"\caption{{{escape_latex(table.caption)}}}\label{{tab:{table.name}}}\\",
        *(r"\toprule", header, r"\midrule", r"\endfirsthead"),
        *(r"\toprule", header, r"\midrule", r"\endhead"),
        *(rf"\midrule\multicolumn{{{width}}}{{r}}{{\emph{{continued}}}}\\", r"\endfoot"),
        *(r"\bottomrule", r"\endlastfoot"),
        *(" & ".join(escape_latex(text) for text in line) + r" \\" for line in _without_repeats(table)),
        r"\end{longtable}",
        *(rf"\noindent {escape_latex(note)}\par" for note in table.notes),
        "}",
    ]
    return "\n".join([*lines, ""])


def _without_repeats(table: PlainTable) -> list[list[str]]:
    """Leave out texts of ``once`` columns that repeat, as far as all such columns to their left repeat as well."""
    shown: list[list[str]] = []
    above: Sequence[str] = [""] * len(table.columns)
    for line in table.lines:
        texts, repeats = list(line), bool(shown)
        for place, column in enumerate(table.columns):
            if column.once:
                repeats = repeats and line[place] == above[place]
                texts[place] = "" if repeats else line[place]
        shown.append(texts)
        above = line
    return shown


def write_plain_table(folder: Path | str, table: PlainTable) -> None:
    """Write ``<name>.csv``, ``<name>.md`` and ``<name>.tex``, each atomically."""
    folder = Path(folder)
    write_text(folder / f"{table.name}.csv", to_csv(table))
    write_text(folder / f"{table.name}.md", to_markdown(table))
    write_text(folder / f"{table.name}.tex", to_latex(table))
