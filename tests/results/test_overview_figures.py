from __future__ import annotations

import matplotlib.colors
from matplotlib.figure import Figure

from cmcr.results.overview_figures import ablation_figure, cost_figure, gains_figure
from cmcr.results.summary import Cell
from cmcr.results.tables import Column, Row, Table

NONE = Cell(None, None, 0, reason="has no images")
COLUMNS = [
    Column("segmentation/town/finetune/1pct", "1 %", "town, mIoU (%)", True),
    Column("segmentation/town/finetune/10pct", "10 %", "town, mIoU (%)", True),
    Column("panoptic/town/finetune/10pct", "10 %", "town, PQ (%)", True),
]


def gain(mean: float, low: float, high: float) -> Cell:
    return Cell(mean, None, 3, interval=(low, high), is_gain=True)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_gain_that_is_not_sure_stands_in_brackets() -> None:
    cells = [gain(2.0, 1.0, 3.0), gain(-1.0, -2.0, 0.5), NONE]
    figure = gains_figure(Table("gains", "Gain over Scratch, in points", COLUMNS, [Row({}, "", "PPKT", cells)], True))
    assert texts(figure) == ["+2.0", "(-1.0)", "n/a"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["town\nmIoU (%)", "town\nPQ (%)"]


def test_text_can_be_read_on_the_strongest_colour() -> None:
    rows = [Row({}, "", "a", [gain(60.0, 1, 99), gain(-60.0, -99, -1), gain(0.1, 0, 1)])]
    figure = gains_figure(Table("gains", "Gain over Scratch, in points", COLUMNS, rows, True))
    for axes in figure.axes:
        (image,) = axes.images
        for value in image.get_array().ravel():  # type: ignore[union-attr]
            red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in image.to_rgba(value)[:3])  # type: ignore[arg-type]
            ink = matplotlib.colors.to_rgb("#222222")[0]
            dark = ((ink + 0.055) / 1.055) ** 2.4
            light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
            assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2.1, 1.4.3


def test_the_ladder_has_a_panel_for_each_score_and_a_line_at_the_whole_method() -> None:
    measure = Column("occupancy", "occupancy", "held-out scans", True)
    rows = [
        Row({"ablation_of": "cmcr", "method": "less"}, "CMCR", "less", [*(Cell(1.0, 0.5, 2, (0.5, 1.5)),) * 3, NONE]),
        Row({"ablation_of": "cmcr", "method": "cmcr"}, "CMCR", "CMCR", [Cell(4.0, None, 1, (4.0,)), NONE, NONE, NONE]),
    ]
    figure = ablation_figure(Table("ablation", "Ablation: rows", [*COLUMNS, measure], rows, True), "held-out scans")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"{c.group}\n{c.label}" for c in COLUMNS]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["less", "CMCR"]
    assert [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"] == [4.0]  # type: ignore[index]


def test_the_first_setting_of_each_data_set_against_cost() -> None:
    labels = {"scratch": "Scratch", "ppkt": "PPKT", "slidr": "SLidR"}
    cells = {(method, column.key): Cell(10.0, 1.0, 3) for method in ("scratch", "ppkt") for column in COLUMNS}
    cells |= {("slidr", column.key): NONE for column in COLUMNS}
    of_method = {"scratch": NONE, "ppkt": Cell(0.5, 0.1, 3)}
    hours = {(method, column.key): cell for method, cell in of_method.items() for column in COLUMNS}
    figure = cost_figure(hours, COLUMNS, cells, labels, "CPU h")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["town, mIoU (%)\n1 %", "town, PQ (%)\n10 %"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Scratch", "PPKT"]
