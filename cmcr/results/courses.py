"""Figures of how pre-training went: every loss and every measured scalar over the steps, and the use of a codebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cmcr.errors import DataError
from cmcr.results.style import FAINT, INK, STYLE

#: Columns of a course that no panel shows.
_NOT_SHOWN = ("epoch", "lr")
#: What is measured of a codebook has a figure of its own.
_CODEBOOK = "codebook_"
#: A smoothed line is a centred mean over this share of the rows.
_SMOOTHING = 0.05
#: A codebook that less than this share of the codes would make up, if all were used alike, has collapsed.
HEALTHY_SHARE = 0.1
#: Points and pixels, told apart with every common colour blindness and by their dashes.
_POINTS, _PIXELS = "#0072B2", "#D55E00"
_PANEL = (2.35, 1.62)
_HEAD = 0.95


def losses_figure(courses: Sequence[pd.DataFrame], title: str, colour: str) -> Figure:
    """A panel for each loss and each measured scalar over the steps, those of a codebook left out.

    Light lines are single seeds as they were logged, the dark line is the mean over the seeds, smoothed.

    Args:
        courses: one per seed, as `cmcr.pretrain.course.read_course` gives them.
        title: what stands above.
        colour: of the method.

    Raises:
        DataError: the courses do not have the same columns.
    """
    names = [name for name in _columns(courses) if name not in _NOT_SHOWN and not name.startswith(_CODEBOOK)]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with rc_context(STYLE):
        figure, grid = _frame(title, courses, columns, rows)
        for place, axes in enumerate(grid):
            if place >= len(names):
                axes.set_axis_off()
                continue
            _draw(axes, courses, {names[place]: (colour, "-", "")})
            axes.set_title(names[place])  # as in metrics.csv and in TensorBoard
            _label_steps(axes, below=place + columns >= len(names))
        return figure


def codebook_figure(courses: Sequence[pd.DataFrame], title: str, codes: int) -> Figure:
    """How a codebook was used over the steps: perplexity, the share used, agreement, and dead codes.

    Args:
        courses: one per seed, as `cmcr.pretrain.course.read_course` gives them.
        title: what stands above.
        codes: K, the number of codes.

    Raises:
        DataError: the courses do not have the same columns, or not those of a codebook.
    """
    panels: dict[str, dict[str, tuple[str, str, str]]] = {
        "Perplexity": {
            "perplexity_points": (_POINTS, "-", "points"),
            "perplexity_pixels": (_PIXELS, "--", "pixels"),
        },
        "Share of the codes used": {"used_share": (INK, "-", "")},
        "Agreement": {"agreement": (INK, "-", "")},
        "Dead codes": {"dead_codes": (INK, "-", "")},
    }
    absent = {f"{_CODEBOOK}{name}" for lines in panels.values() for name in lines} - set(_columns(courses))
    if absent:
        raise DataError(f"{title}: there is no column {min(absent)}, which a method with a codebook logs")
    with rc_context(STYLE):
        figure, grid = _frame(title, courses, len(panels), 1)
        for axes, (heading, lines) in zip(grid, panels.items(), strict=True):
            _draw(axes, courses, {f"{_CODEBOOK}{name}": look for name, look in lines.items()})
            axes.set_title(heading)
            axes.set_ylim(bottom=0)
            _label_steps(axes, below=True)
        perplexity, used, agreement, dead = grid
        healthy = HEALTHY_SHARE * codes
        perplexity.axhline(healthy, color=INK, linewidth=1.2, linestyle=":")
        perplexity.set_ylim(top=max(perplexity.get_ylim()[1], 1.25 * healthy))
        perplexity.annotate(
            f"K/10 = {healthy:g}", (1, healthy), (0, 2), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
        )  # fmt: skip
        perplexity.legend(loc="best", fontsize=8, handlelength=2.2)
        used.set_ylim(top=1)
        agreement.set_ylim(top=max(agreement.get_ylim()[1], 0.1))
        dead.set_ylim(top=codes)
        return figure


def _columns(courses: Sequence[pd.DataFrame]) -> list[str]:
    first, *others = [list(map(str, course.columns)) for course in courses]
    for other in others:
        if other != first:
            raise DataError(f"the seeds logged different columns: {', '.join(first)} and {', '.join(other)}")
    return first


def _frame(title: str, courses: Sequence[pd.DataFrame], columns: int, rows: int) -> tuple[Figure, list[Axes]]:
    size = (max(_PANEL[0] * columns, 4.6), _PANEL[1] * rows + _HEAD)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
    seeds = f"light: {'each of the ' + str(len(courses)) + ' seeds' if len(courses) > 1 else 'the one seed'}"
    mean = "mean over the seeds" if len(courses) > 1 else "the same"
    note = f"{seeds}, as logged; dark: {mean}, smoothed over {100 * _SMOOTHING:g} % of the steps"
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=FAINT)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _draw(axes: Axes, courses: Sequence[pd.DataFrame], lines: Mapping[str, tuple[str, str, str]]) -> None:
    """Draw columns, each with its colour, dashes and label."""
    for name, (colour, dashes, label) in lines.items():
        for course in courses:
            axes.plot(course.index, course[name], color=colour, alpha=0.45, linewidth=0.6)
        smooth = smoothed_mean([course[name] for course in courses])
        axes.plot(smooth.index, smooth, dashes, color=colour, linewidth=1.7, label=label)
    axes.margins(x=0.01)


def smoothed_mean(columns: Sequence[pd.Series]) -> pd.Series:
    """Return the mean over the seeds at each step that any of them logged, and of it a centred moving mean.

    What is NaN has no part in a mean.
    """
    mean = pd.concat(columns, axis=1).mean(axis=1)
    window = max(1, round(_SMOOTHING * len(mean)))
    return mean.rolling(2 * (window // 2) + 1, center=True, min_periods=1).mean()


def _label_steps(axes: Axes, *, below: bool) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8)
    if below:
        axes.set_xlabel("step", fontsize=8)

