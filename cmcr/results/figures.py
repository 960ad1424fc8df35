"""Figures of scores. Each takes the tidy table and gives a finished figure; `cmcr.results.style` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cmcr.results.style import FAINT, INK, STYLE, Look, method_looks
from cmcr.results.summary import METRIC_LABELS, Cell, Setting, Summary, seeds_phrase, summarise
from cmcr.results.tables import class_label

#: Height in inches of a line of text with air around it, and of all titles and axis labels of a figure together.
_LINE = 0.19
_FRAME = 1.2


def label_efficiency_figure(
    scores: pd.DataFrame,
    task: str,
    metric: str,
    methods: Mapping[str, str],
    dataset: str,
    reasons: Mapping[str, str] | None = None,
) -> Figure:
    """What a label is worth: the linear probe on the left, the metric against the share of labels on the right.

    Points are means over the seeds and bars the sample standard deviation; small dots on the left are the single runs.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        task: ``segmentation``, ``detection`` or ``panoptic``.
        metric: id of the task's headline metric, for example ``miou``.
        methods: label for print by id, in printing order.
        dataset: id of the data set to show.
        reasons: why a method has no numbers, by id, where that is known beforehand.

    Raises:
        ScoresError: nothing to show, or a mixture that must not be averaged (see `summarise`).
    """
    summary = summarise(scores[scores["dataset"] == dataset], task, methods, reasons)
    settings = summary.dataset(dataset).settings
    probes = [setting for setting in settings if not setting.is_finetune]
    shares = [setting for setting in settings if setting.is_finetune]
    looks = method_looks(methods)
    with rc_context(STYLE):
        height = max(2.3, 1.5 * _LINE * len(methods))
        figure = Figure(figsize=(8.4, height + _FRAME), layout="constrained")
        cells = [summary.cell(dataset, setting, method, metric) for method in methods for setting in settings]
        _frame_texts(figure, summary, dataset, METRIC_LABELS.get(metric, metric), cells)
        widths = ([1.0] if probes else []) + ([1.7] if shares else [])
        axes = iter(figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0])
        if probes:
            _draw_probe(next(axes), summary, dataset, metric, probes[-1], looks)
        if shares:
            curves = next(axes)
            ends = _draw_curves(curves, summary, dataset, metric, shares, looks)
            _label_ends(curves, ends, summary.methods, looks, height)
        return figure


def _draw_probe(
    axes: Axes, summary: Summary, dataset: str, metric: str, setting: Setting, looks: Mapping[str, Look]
) -> None:
    for place, method in enumerate(summary.methods):
        cell, look = summary.cell(dataset, setting, method, metric), looks[method]
        if cell.mean is None:
            axes.text(
                0.02, place, f"n/a: {cell.reason}", transform=axes.get_yaxis_transform(), va="center", color=FAINT
            )
            continue
        axes.plot(cell.values, [place + 0.28] * cell.runs, ".", color=look.colour, alpha=0.6, markeredgewidth=0)
        axes.errorbar(cell.mean, place, xerr=cell.std, fmt=look.marker, color=look.colour)
    axes.set_yticks(range(len(summary.methods)), list(summary.methods.values()))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(summary.methods) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.set_title(setting.label.capitalize())
    axes.set_xlabel(_axis(metric))


def _draw_curves(
    axes: Axes, summary: Summary, dataset: str, metric: str, shares: Sequence[Setting], looks: Mapping[str, Look]
) -> dict[str, tuple[float, float]]:
    """Draw a line per method; return where each ends."""
    ends: dict[str, tuple[float, float]] = {}
    for method in summary.methods:
        cells = [summary.cell(dataset, share, method, metric) for share in shares]
        known = [(s.percent, c.mean, c.std or 0.0) for s, c in zip(shares, cells, strict=True) if c.mean is not None]
        if not known:
            continue
        percents, means, stds = zip(*known, strict=True)
        axes.errorbar(percents, means, yerr=stds, fmt=f"-{looks[method].marker}", color=looks[method].colour)
        ends[method] = percents[-1], means[-1]
    axes.set_xscale("log")
    axes.margins(y=0.1)
    axes.set_xticks([share.percent for share in shares], [share.label for share in shares])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=False, axis="x")
    axes.set_title("Fine-tuning")
    axes.set_xlabel("share of the training labels (log scale)")
    axes.set_ylabel(_axis(metric))
    return ends


def _label_ends(
    axes: Axes,
    ends: Mapping[str, tuple[float, float]],
    labels: Mapping[str, str],
    looks: Mapping[str, Look],
    height: float,
) -> None:
    """Write each method's name right of the axes (``height`` inches high), tied to the end of its line."""
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top)
    gap = _LINE / height * (top - bottom)
    order = sorted(ends, key=lambda method: ends[method][1])
    for method, y in zip(order, spread([ends[method][1] for method in order], gap), strict=True):
        leader = {"arrowstyle": "-", "color": looks[method].colour, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 5}
        axes.annotate(
            labels[method],
            xy=ends[method],
            xytext=(1.06, y),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            annotation_clip=False,
            arrowprops=leader,
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Move ascending positions as little as possible so that neighbours are at least ``gap`` apart.

    Neighbours that are too close form a block around the mean of what they want; blocks that meet are joined.
    """
    blocks: list[list[float]] = []  # the wanted position of each member, less its offset in the block
    for place in wanted:
        blocks.append([place])
        while len(blocks) > 1 and _start(blocks[-2]) + gap * len(blocks[-2]) > _start(blocks[-1]):
            last = blocks.pop()
            shift = gap * len(blocks[-1])
            blocks[-1] += [member - shift for member in last]
    return [_start(block) + gap * index for block in blocks for index in range(len(block))]


def _start(block: Sequence[float]) -> float:
    return sum(block) / len(block)


def per_class_figure(
    scores: pd.DataFrame,
    task: str,
    metric: str,
    methods: Mapping[str, str],
    dataset: str,
    columns: int = 8,
    reasons: Mapping[str, str] | None = None,
) -> Figure:
    """The linear probe class by class: a group of bars per class, a bar per method, the easiest class first.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        task: ``segmentation``, ``detection`` or ``panoptic``.
        metric: id of the metric that each class has, for example ``iou``.
        methods: label for print by id, in printing order.
        dataset: id of the data set to show.
        columns: classes side by side.
        reasons: why a method has no numbers, by id, where that is known beforehand.

    Raises:
        ScoresError: nothing to show, or a mixture that must not be averaged (see `summarise`).
    """
    of_dataset = scores[(scores["dataset"] == dataset) & (scores["protocol"] == "linear_probe")]
    summary = summarise(of_dataset, task, methods, reasons)
    setting = summary.dataset(dataset).settings[-1]

    def average(class_name: str) -> float:
        cells = [summary.cell(dataset, setting, method, metric, class_name) for method in methods]
        means = [cell.mean for cell in cells if cell.mean is not None]
        return sum(means) / len(means) if means else -1.0

    classes = sorted(summary.classes(dataset, metric), key=lambda name: (-average(name), name))
    rows = [classes[start : start + columns] for start in range(0, len(classes), columns)]
    looks = method_looks(methods)
    with rc_context(STYLE):
        figure = Figure(figsize=(1.1 * columns + 2.2, 2.1 * len(rows) + 0.9), layout="constrained")
        cells = [summary.cell(dataset, setting, method, metric, name) for method in methods for name in classes]
        _frame_texts(figure, summary, dataset, f"{METRIC_LABELS.get(metric, metric)} by class, {setting.label}", cells)
        all_axes = figure.subplots(len(rows), 1, sharey=True, squeeze=False)[:, 0]
        for axes, row in zip(all_axes, rows, strict=True):
            _draw_classes(axes, summary, dataset, setting, metric, row, looks)
            axes.set_xlim(-0.5, columns - 0.5)
        handles, labels = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")
        return figure


def _draw_classes(
    axes: Axes,
    summary: Summary,
    dataset: str,
    setting: Setting,
    metric: str,
    classes: Sequence[str],
    looks: Mapping[str, Look],
) -> None:
    width = 0.84 / len(summary.methods)
    for index, (method, label) in enumerate(summary.methods.items()):
        cells = [summary.cell(dataset, setting, method, metric, name) for name in classes]
        places = [place + (index - (len(summary.methods) - 1) / 2) * width for place in range(len(classes))]
        heights = [cell.mean or 0.0 for cell in cells]
        axes.bar(places, heights, 0.9 * width, color=looks[method].colour, label=label)
        for place, cell in zip(places, cells, strict=True):
            if cell.mean is None:
                axes.text(place, 0, "n/a", rotation=90, ha="center", va="bottom", color=FAINT, fontsize=7)
            elif cell.std is not None:
                axes.errorbar(place, cell.mean, cell.std, color=INK, elinewidth=0.8, capsize=0)
    axes.set_xticks(range(len(classes)), [class_label(name).replace(" ", "\n", 1) for name in classes])
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(_axis(metric))


def _frame_texts(figure: Figure, summary: Summary, dataset: str, subject: str, cells: Iterable[Cell]) -> None:
    """The title above everything, and below it what the marks stand for."""
    found = summary.dataset(dataset)
    where = f"{'toy data, ' if summary.toy else ''}{found.id}, split {found.split}, {found.num_frames} frames"
    figure.suptitle(f"{summary.task.capitalize()} ({where}): {subject}", x=0.01, ha="left", fontsize=11, weight="bold")
    figure.supxlabel(seeds_phrase(cells, with_spread=True), x=0.01, ha="left", fontsize=8, color=FAINT)


def _axis(metric: str) -> str:
    return f"{METRIC_LABELS.get(metric, metric)} (%)"
