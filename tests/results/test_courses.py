from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cmcr.errors import DataError
from cmcr.losses.codebook import CodebookUse
from cmcr.results.courses import codebook_figure, losses_figure, smoothed_mean
from cmcr.results.style import write_figure


def course(shift: float = 0, steps: int = 40, **columns: float) -> pd.DataFrame:
    names = {"epoch": 0.0, "lr": 1e-3, "loss": 2.0, "info_nce": 1.5, "occupancy_accuracy": 0.5, **columns}
    index = pd.RangeIndex(1, steps + 1, name="step")
    return pd.DataFrame({name: value + shift for name, value in names.items()}, index=index)


def codebook(shift: float = 0) -> pd.DataFrame:
    return course(shift, **{f"codebook_{name}": 3.0 for name in CodebookUse._fields})


def drawn(figure: Figure) -> dict[str, list[list[float]]]:
    """The lines of each panel, by its title; a panel without title is an empty place."""
    found = {axes.get_title(loc="left"): [list(np.asarray(line.get_ydata())) for line in axes.lines] for axes in figure.axes}
    return {title: lines for title, lines in found.items() if title}


def test_a_panel_for_each_loss_and_scalar_a_line_for_each_seed_and_their_mean() -> None:
    found = drawn(losses_figure([codebook(0), codebook(1)], "title", "#123456"))
    assert list(found) == ["loss", "info_nce", "occupancy_accuracy"]
    assert [lines[0] for lines in found["loss"]] == [2, 3, 2.5]
    assert all(len(line) == 40 for lines in found.values() for line in lines)


def test_the_codebook_has_a_figure_of_its_own_with_a_tenth_marked() -> None:
    found = drawn(codebook_figure([codebook(0)], "title", codes=400))
    assert list(found) == ["Perplexity", "Share of the codes used", "Agreement", "Dead codes"]
    assert found["Perplexity"][-1] == [40, 40]
    assert len(found["Perplexity"]) == 2 * 2 + 1
    with pytest.raises(DataError, match="no column codebook_agreement, which a method with a codebook logs"):
        codebook_figure([course()], "title", codes=400)


def test_smoothing_is_centred_and_leaves_out_what_is_not_there() -> None:
    values = np.zeros(60)
    values[30] = 3  # a window of 3 rows
    one, other = pd.Series(values), pd.Series(np.where(np.arange(60) == 10, np.nan, values))
    smooth = smoothed_mean([one, other])
    assert smooth[[28, 29, 30, 31, 32]].tolist() == pytest.approx([0, 1, 1, 1, 0])
    assert smooth[10] == 0
    assert smoothed_mean([one]).iloc[0] == 0


def test_seeds_that_logged_other_columns_are_refused() -> None:
    with pytest.raises(DataError, match="the seeds logged different columns"):
        losses_figure([course(), codebook()], "title", "#123456")


def test_the_same_courses_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_figure(tmp_path / folder, "f", losses_figure([course()], "A $title", "#123456"))
    for name in ("f.svg", "f.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
