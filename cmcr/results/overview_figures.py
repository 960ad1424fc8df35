"""Figures of a whole run: gains, ablations, and cost against quality. Each takes a finished table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from cmcr.results.style import FAINT, INK, STYLE, method_looks
from cmcr.results.summary import Cell
from cmcr.results.tables import Column, Table

#: Diverging and told apart with every common colour blindness: orange is worse, purple is better.
_COLOUR_MAP = "PuOr"


def gains_figure(table: Table) -> Figure:
    """A heatmap of `cmcr.results.gains.gains_table`: methods by data sets and settings; what is not sure is in brackets.

    Colours follow the gain within each data set and task, whose metrics have scales of their own.
    """
    rows, columns = table.rows, table.columns
    gains = np.array([[np.nan if cell.mean is None else cell.mean for cell in row.cells] for row in rows])
    groups = [(name, len(list(members))) for name, members in groupby(columns, key=lambda column: column.group)]
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.2 + 0.85 * len(columns), 1.2 + 0.36 * len(rows)), layout="constrained")
        all_axes = figure.subplots(1, len(groups), width_ratios=[size for _, size in groups], squeeze=False)[0]
        start = 0
        for axes, (name, size) in zip(all_axes, groups, strict=True):
            part = slice(start, start + size)
            known = np.abs(gains[:, part][~np.isnan(gains[:, part])])
            # Twice the largest, so that black text is readable on every colour; a point of difference stays pale.
            limit = 2 * max(known.max(initial=0), 5)
            axes.imshow(gains[:, part], cmap=_COLOUR_MAP, vmin=-limit, vmax=limit, aspect="auto")
            for place, row in enumerate(rows):
                for column, cell in enumerate(row.cells[part]):
                    axes.text(column, place, _gain_text(cell), ha="center", va="center", **_gain_style(cell))
            axes.set_xticks(range(size), [column.label for column in columns[part]])
            axes.set_yticks(range(len(rows)), [row.label for row in rows] if start == 0 else [])
            axes.tick_params(length=0)
            axes.set_title(name.replace(", ", "\n", 1))
            axes.spines[:].set_visible(False)
            start += size
        _title(figure, table, "interval leaves out zero: bold; otherwise in brackets")
        return figure


def _gain_text(cell: Cell) -> str:
    if cell.mean is None:
        return "n/a"
    text = f"{cell.mean:+.1f}"
    return text if cell.is_sure else f"({text})"


def _gain_style(cell: Cell) -> dict[str, str]:
    if cell.mean is None:
        return {"color": FAINT}
    return {"color": INK, "weight": "bold" if cell.is_sure else "normal"}


def ablation_figure(table: Table, measured: str) -> Figure:
    """The ladder of `cmcr.results.ablation.ablation_table`: a panel for each setting, a line for each row.

    Args:
        table: the table.
        measured: group of the columns that are no scores, which are left out.
    """
    shown = [number for number, column in enumerate(table.columns) if column.group != measured]
    blocks = [(name, list(rows)) for name, rows in groupby(table.rows, key=lambda row: row.block)]
    with rc_context(STYLE):
        height = sum(0.5 + 0.27 * len(rows) for _, rows in blocks) + 0.9
        figure = Figure(figsize=(2.4 + 1.9 * len(shown), height), layout="constrained")
        grid = figure.subplots(
            len(blocks), len(shown), squeeze=False, height_ratios=[1 + len(rows) for _, rows in blocks]
        )
        for line, (name, rows) in zip(grid, blocks, strict=True):
            for axes, number in zip(line, shown, strict=True):
                base = next((row for row in rows if row.keys["method"] == row.keys["ablation_of"]), None)
                cells = [row.cells[number] for row in rows]
                _draw_ladder(axes, cells, None if base is None else base.cells[number].mean)
                axes.set_yticks(range(len(rows)), [row.label for row in rows] if number == shown[0] else [])
                axes.set_title(_where(table.columns[number]), fontsize=8)
            line[0].set_ylabel(name)
        _title(figure, table, "")
        return figure


def _draw_ladder(axes: Axes, cells: Sequence[Cell], base: float | None) -> None:
    colour = method_looks(["floor", "row"])["row"].colour
    if base is not None:
        axes.axvline(base, color=FAINT, linewidth=0.8, linestyle="--")
    for place, cell in enumerate(cells):
        if cell.mean is None:
            axes.text(0.02, place, "n/a", transform=axes.get_yaxis_transform(), va="center", color=FAINT)
            continue
        axes.plot(cell.values, [place] * len(cell.values), ".", color=colour, alpha=0.4, markeredgewidth=0)
        axes.errorbar(cell.mean, place, xerr=cell.std, fmt="o", color=colour)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def cost_figure(
    hours: Mapping[tuple[str, str], Cell],
    columns: Sequence[Column],
    cells: Mapping[tuple[str, str], Cell],
    labels: Mapping[str, str],
    unit: str,
) -> Figure:
    """Cost against quality: each method's hours of pre-training on a logarithmic axis, its score upwards.

    Methods without pre-training cost nothing, which such an axis does not have; they are lines across.

    Args:
        hours: of the pre-training behind a score, by method and key of the column, where there is a score.
        columns: headline metrics; a panel for the first setting of each data set and task.
        cells: scores by method and key of the column.
        labels: name for print by method, in printing order.
        unit: what hours are counted of, for example ``CPU h``.
    """
    panels = list({column.group: column for column in reversed(columns)}.values())[::-1]
    looks = method_looks(labels)
    with rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(panels) + 1.2, 3.4), layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, column in zip(all_axes, panels, strict=True):
            for method, label in labels.items():
                cell, look = cells[method, column.key], looks[method]
                if cell.mean is None:
                    continue
                cost = hours[method, column.key]
                if cost.mean is None:
                    axes.axhline(cell.mean, color=look.colour, linestyle="--", linewidth=1, label=label)
                else:
                    axes.errorbar(
                        cost.mean, cell.mean, xerr=cost.std, yerr=cell.std, fmt=look.marker, color=look.colour, label=label
                    )
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(_where(column))
            axes.set_xlabel(f"pre-training, {unit} (log scale)")
        handles = {label: handle for axes in all_axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        ordered = [label for label in labels.values() if label in handles]
        figure.legend([handles[label] for label in ordered], ordered, loc="outside right upper")
        figure.suptitle("Cost and quality", x=0.01, ha="left", fontsize=11, weight="bold")
        return figure


def _where(column: Column) -> str:
    return f"{column.group}\n{column.label}"


def _title(figure: Figure, table: Table, note: str) -> None:
    """The first words of the caption above everything, a note below."""
    figure.suptitle(table.caption.split(",")[0].split(":")[0], x=0.01, ha="left", fontsize=11, weight="bold")
    if note:
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=FAINT)
