from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from cmcr.errors import ScoresError
from cmcr.results.collect import scores_table
from cmcr.results.figures import label_efficiency_figure, per_class_figure, spread
from cmcr.results.scores import Scores
from cmcr.results.style import method_looks, write_figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_lines_by_share_beside_the_probe(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    figure = label_efficiency_figure(scores, "segmentation", "miou", {**methods, "slidr": "SLidR"}, "town")
    probe, curves = figure.axes
    assert curves.get_xscale() == "log"
    assert [label.get_text() for label in curves.get_xticklabels()] == ["1 %", "10 %"]
    lines = [c.lines[0] for c in curves.containers if isinstance(c, ErrorbarContainer) and c.lines[0] is not None]
    assert [list(np.asarray(line.get_ydata())) for line in lines] == [[16.0, 21.0], [26.0, 31.0], [36.0, 41.0]]
    assert [label.get_text() for label in probe.get_yticklabels()] == ["Scratch", "PPKT", "CMCR", "SLidR"]
    found = texts(figure)
    assert "n/a: no run" in found
    assert any("toy" in text and "12 frames" in text for text in found)
    assert "mean and sample standard deviation over 3 seeds" in found


def test_names_at_the_ends_of_lines_do_not_overlap(make_run: Callable[..., Scores]) -> None:
    methods = {f"m{i}": f"Method {i}" for i in range(9)}
    runs = {
        f"{m}{p}": make_run(30 + 0.01 * i, method=m, label_percent=p) for i, m in enumerate(methods) for p in (1, 10)
    }
    figure = label_efficiency_figure(scores_table(runs), "segmentation", "miou", methods, "town")
    figure.draw_without_rendering()
    (curves,) = figure.axes
    boxes = sorted((Text.get_window_extent(text) for text in curves.texts), key=lambda box: box.y0)
    assert len(boxes) == 9
    assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(boxes))


def test_one_seed_and_only_a_probe(make_run: Callable[..., Scores]) -> None:
    scores = scores_table({"a": make_run(protocol="linear_probe", label_percent=100, toy=False)})
    figure = label_efficiency_figure(scores, "segmentation", "miou", {"ppkt": "PPKT"}, "town")
    assert len(figure.axes) == 1
    assert not any("toy" in text for text in texts(figure))


def test_bars_class_by_class(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    figure = per_class_figure(scores, "segmentation", "iou", {**methods, "slidr": "SLidR"}, "town")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["road", "car"]
    heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
    assert heights == [16.0, 6.0, 26.0, 16.0, 36.0, 26.0, 0.0, 0.0]
    assert [text.get_text() for text in axes.texts] == ["n/a", "n/a"]
    assert any("toy" in text for text in texts(figure))


def test_the_per_class_figure_needs_a_probe(make_run: Callable[..., Scores]) -> None:
    with pytest.raises(ScoresError, match="no scores of task"):
        per_class_figure(scores_table({"a": make_run()}), "segmentation", "iou", {"ppkt": "PPKT"}, "town")


def test_the_same_scores_give_the_same_bytes_and_labels_are_not_formulas(
    tmp_path: Path, scores: pd.DataFrame, methods: dict[str, str]
) -> None:
    nasty = {**methods, "cmcr": r"$\frac{1}{0$ <b>&"}
    for folder in ("a", "b"):
        write_figure(tmp_path / folder, "f", label_efficiency_figure(scores, "segmentation", "miou", nasty, "town"))
    for name in ("f.svg", "f.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a" / "f.svg").read_bytes()


@given(st.lists(st.floats(-100, 100), max_size=12), st.floats(0.1, 10))
def test_spread_keeps_distance_and_order_and_moves_nothing_without_need(wanted: list[float], gap: float) -> None:
    wanted = sorted(wanted)
    placed = spread(wanted, gap)
    assert all(b - a >= gap * (1 - 1e-9) - 1e-9 for a, b in pairwise(placed))
    assert sum(placed) == pytest.approx(sum(wanted), abs=1e-6)
    if all(b - a >= gap for a, b in pairwise(wanted)):
        assert placed == pytest.approx(wanted)


def test_every_method_of_the_suite_looks_different() -> None:
    looks = method_looks(f"m{i}" for i in range(11))
    assert len(set(looks.values())) == 11
