"""Tables as text: CSV for machines, Markdown for terminals and pages, LaTeX (booktabs) for papers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cmcr.files import write_text
from cmcr.results.summary import Cell
from cmcr.results.tables import Column, Table

#: Each of these ends a line for some reader, or is no text at all.
_BLANKS = dict.fromkeys([*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029"], " ")
_MARKDOWN = str.maketrans(
    {
        **_BLANKS,
        **{character: "\\" + character for character in "\\`*_[]|~$#"},
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
    }
)
_LATEX = str.maketrans(
    {
        **_BLANKS,
        **{character: "\\" + character for character in "{}$&#_%"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "{''}",
        # At the start of a line these would be read as options of the line end before them.
        **{character: f"{{{character}}}" for character in "[]*"},
        "±": r"$\pm$",
        "²": "$^2$",
    }
)


def escape_markdown(text: str) -> str:
    """Make plain text safe inside a Markdown table, for renderers that let HTML through as well."""
    return text.translate(_MARKDOWN)


def escape_latex(text: str) -> str:
    """Make plain text safe inside LaTeX."""
    return text.translate(_LATEX)


@dataclass(frozen=True)
class _Format:
    """How a text format writes what stands in a cell."""

    bold: Callable[[str], str]
    underlined: Callable[[str], str]
    plus_minus: str
    footnote: Callable[[str], str]
    opening: str
    """Bracket before an interval."""
    closing: str


_MARKDOWN_FORMAT = _Format(
    bold=lambda text: f"**{text}**",
    underlined=lambda text: f"<ins>{text}</ins>",
    plus_minus="±",
    footnote=lambda mark: f" ({mark})",
    opening="\\[",
    closing="\\]",
)
_LATEX_FORMAT = _Format(
    bold=lambda text: rf"\textbf{{{text}}}",
    underlined=lambda text: rf"\underline{{{text}}}",
    plus_minus=r"$\pm$",
    footnote=lambda mark: rf"\textsuperscript{{{mark}}}",
    opening="{[}",
    closing="{]}",
)


def to_csv(tables: Sequence[Table]) -> str:
    """One line per row with the columns ``<column>/mean``, ``<column>/std`` and ``<column>/n``, or for gains
    ``<column>/mean``, ``<column>/low``, ``<column>/high`` and ``<column>/n``.

    Numbers have all their digits; ``n/a`` where there is none. Tables with other columns leave each other's empty.
    """
    rows = []
    for table in tables:
        for row in table.rows:
            fields: dict[str, object] = dict(row.keys)
            for column, cell in zip(table.columns, row.cells, strict=True):
                fields[f"{column.key}/mean"] = "n/a" if cell.mean is None else cell.mean
                if table.of_gains:
                    low, high = cell.interval or ("n/a", "n/a")
                    fields |= {f"{column.key}/low": low, f"{column.key}/high": high}
                else:
                    fields[f"{column.key}/std"] = "n/a" if cell.std is None else cell.std
                fields[f"{column.key}/n"] = cell.runs
            rows.append(fields)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(table: Table) -> str:
    """Caption, padded table (it is read in terminals too), and the reasons of missing numbers."""
    blocks = len({row.block for row in table.rows}) > 1
    groups = len({column.group for column in table.columns}) > 1
    header = ([table.block_header] if blocks else []) + ["Method"]
    texts = len(header)
    header += [f"{column.group}: {column.label}" if groups else column.label for column in table.columns]
    lines = [[escape_markdown(text) for text in header]]
    cells, notes = _cell_texts(table, _MARKDOWN_FORMAT)
    for row, row_cells in zip(table.rows, cells, strict=True):
        lines.append([escape_markdown(text) for text in ([row.block] if blocks else []) + [row.label]] + row_cells)

    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    rule = ["-" * width if i < texts else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines.insert(1, rule)
    body = [
        "| "
        + " | ".join(
            text.ljust(width) if i < texts else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
    parts = [escape_markdown(table.caption), "\n".join(body)]
    if notes:
        parts.append("n/a: " + "; ".join(f"({mark}) {escape_markdown(reason)}" for mark, reason in notes) + ".")
    return "\n\n".join(parts) + "\n"


def to_latex(table: Table) -> str:
    """A floating table, no wider than the text; needs the packages booktabs and graphicx."""
    cells, notes = _cell_texts(table, _LATEX_FORMAT)
    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\smallskip",
        r"\sbox0{%",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        *_latex_header(table),
    ]
    width = len(table.columns) + 1
    numbered = list(zip(table.rows, cells, strict=True))
    for block, group in groupby(numbered, key=lambda pair: pair[0].block):
        lines.append(r"\midrule")
        if block:
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape_latex(block)}}}}} \\")
        lines += [" & ".join([escape_latex(row.label), *texts]) + r" \\" for row, texts in group]
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        r"\ifdim\wd0>\linewidth \resizebox{\linewidth}{!}{\usebox0}\else \usebox0\fi",
    ]
    if notes:
        reasons = "; ".join(rf"\textsuperscript{{{mark}}} {escape_latex(reason)}" for mark, reason in notes)
        lines.append(rf"\par\smallskip{{\footnotesize n/a: {reasons}.}}")
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_header(table: Table) -> list[str]:
    lines = []
    groups = [(name, len(list(columns))) for name, columns in groupby(table.columns, key=lambda column: column.group)]
    if len(groups) > 1:
        names, rules, start = "", "", 2
        for name, size in groups:
            names += rf" & \multicolumn{{{size}}}{{c}}{{{escape_latex(name)}}}"
            rules += rf"\cmidrule(lr){{{start}-{start + size - 1}}}"
            start += size
        lines += [names + r" \\", rules]
    labels = [escape_latex(column.label) for column in table.columns]
    if not table.with_spread:  # many narrow columns
        labels = [rf"\rotatebox{{90}}{{{label}}}" for label in labels]
    return [*lines, " & ".join(["Method", *labels]) + r" \\"]


def _cell_texts(table: Table, form: _Format) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """The text of every cell, and the mark and reason of each kind of missing number."""
    reasons = dict.fromkeys(cell.reason for row in table.rows for cell in row.cells if cell.mean is None)
    marks = {reason: _mark(index) for index, reason in enumerate(reasons)}

    def text(cell: Cell, column: Column, ranked: Sequence[str]) -> str:
        if cell.mean is None:
            return "n/a" + form.footnote(marks[cell.reason])
        mean = _rounded(cell.mean, column)
        if cell.is_gain:
            return _gain_text(cell, column, form)
        if mean in ranked:
            mean = form.bold(mean) if mean == ranked[0] else form.underlined(mean)
        parts = [mean]
        if table.with_spread and cell.std is not None:
            parts.append(f"{form.plus_minus} {_rounded(cell.std, column)}")
        if cell.runs < table.usual_runs:
            parts.append(f"({cell.runs})")
        return " ".join(parts)

    texts = []
    for _, block in groupby(table.rows, key=lambda row: row.block):
        rows = list(block)
        ranked = [_ranked([row.cells[i] for row in rows], column) for i, column in enumerate(table.columns)]
        for row in rows:
            texts.append([text(*found) for found in zip(row.cells, table.columns, ranked, strict=True)])
    return texts, [(mark, reason) for reason, mark in marks.items()]


def _ranked(cells: Sequence[Cell], column: Column) -> list[str]:
    """The best and the second mean as they are printed, so that equals in print are marked alike.

    The second of two alone is the last, and is not marked.
    """
    means = [cell.mean for cell in cells if cell.mean is not None]
    if not means or column.higher_is_better is None:
        return []
    different = dict.fromkeys(_rounded(mean, column) for mean in sorted(means, reverse=column.higher_is_better))
    return list(different)[: 2 if len(different) > 2 else 1]


def _gain_text(cell: Cell, column: Column, form: _Format) -> str:
    """``+1.2 [0.4, 2.0]``, bold where the interval leaves out zero."""
    assert cell.mean is not None
    mean = f"{cell.mean:+.{column.digits}f}"
    if cell.interval is None:
        return mean
    low, high = (_rounded(bound, column) for bound in cell.interval)
    return f"{form.bold(mean) if cell.is_sure else mean} {form.opening}{low}, {high}{form.closing}"


def _rounded(value: float, column: Column) -> str:
    return f"{value:z.{column.digits}f}"  # z: what rounds to zero has no sign


def _mark(index: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    return (_mark(index // 26 - 1) if index >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[index % 26]


def write_tables(folder: Path | str, name: str, tables: Sequence[Table]) -> None:
    """Write ``<name>.csv``, ``<name>.md`` and ``<name>.tex`` with all the tables, each atomically."""
    folder = Path(folder)
    write_text(folder / f"{name}.csv", to_csv(tables))
    write_text(folder / f"{name}.md", "\n".join(map(to_markdown, tables)))
    write_text(folder / f"{name}.tex", "\n".join(map(to_latex, tables)))
