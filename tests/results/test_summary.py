from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from cmcr.errors import ScoresError
from cmcr.results.collect import scores_table
from cmcr.results.scores import Scores
from cmcr.results.summary import Cell, Setting, seeds_phrase, summarise

PROBE, SHARE_1, SHARE_10 = Setting(False, 100.0), Setting(True, 1.0), Setting(True, 10.0)


def test_mean_and_sample_deviation_over_the_seeds(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    cell = summarise(scores, "segmentation", methods).cell("town", SHARE_10, "ppkt", "miou")
    assert (cell.mean, cell.std, cell.runs) == (31.0, 1.0, 3)


def test_settings_come_in_printing_order(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    summary = summarise(scores, "segmentation", methods)
    assert summary.dataset("town").settings == [PROBE, SHARE_1, SHARE_10]
    assert [setting.label for setting in summary.dataset("town").settings] == ["linear probe", "1 %", "10 %"]
    assert [setting.key for setting in summary.dataset("town").settings][:2] == ["linear_probe/100pct", "finetune/1pct"]
    assert Setting(False, 12.5).label == "linear probe, 12.5 %"
    assert summary.dataset("town").label_scans == {PROBE: 40, SHARE_1: 1, SHARE_10: 4}


def test_a_missing_number_keeps_its_reason(make_run: Callable[..., Scores]) -> None:
    runs = {
        "a": make_run(None),
        "b": make_run(None, seed=1),
        "c": make_run(30.0, method="cmcr"),
        "d": make_run(3.0, seed=2),
    }
    summary = summarise(scores_table({k: runs[k] for k in "abc"}), "segmentation", {"ppkt": "PPKT", "cmcr": "CMCR"})
    assert summary.cell("town", SHARE_10, "ppkt", "miou") == Cell(None, None, 0, reason="it diverged")
    assert summary.cell("town", PROBE, "ppkt", "miou").reason == "no run"
    assert summary.cell("town", SHARE_10, "cmcr", "miou").std is None
    # One number of three is still a number, of one run.
    summary = summarise(scores_table(runs), "segmentation", {"ppkt": "PPKT"})
    assert summary.cell("town", SHARE_10, "ppkt", "miou") == Cell(3.0, None, 1, (3.0,))


@pytest.mark.parametrize(
    "other",
    [
        {"toy": False, "seed": 1},
        {"split": "val_small", "seed": 1},
        {"num_frames": 11, "seed": 1},
        {"pretrain_dataset": "village", "seed": 1},
        {"label_scans": 5, "seed": 1},
    ],
)
def test_what_must_not_be_mixed_is_refused(make_run: Callable[..., Scores], other: dict[str, Any]) -> None:
    table = scores_table({"a": make_run(), "b": make_run(**other)})
    with pytest.raises(ScoresError, match=f"(?s)must not share a table.*{next(iter(other))}"):
        summarise(table, "segmentation", {"ppkt": "PPKT"})


def test_nothing_to_show_is_an_error(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    with pytest.raises(ScoresError, match="no scores of task detection"):
        summarise(scores, "detection", methods)
    with pytest.raises(ScoresError, match="no scores of task segmentation for the methods slidr"):
        summarise(scores, "segmentation", {"slidr": "SLidR"})
    with pytest.raises(ScoresError, match="expected: the metric map"):
        summarise(scores, "segmentation", methods).direction("map")


@pytest.mark.parametrize(
    ("runs", "phrase"),
    [([1, 1], "one seed"), ([3, 0, 3], "mean over 3 seeds"), ([1, 3], "mean over 1 to 3 seeds"), ([0], "no run")],
)
def test_the_caption_counts_the_seeds(runs: list[int], phrase: str) -> None:
    assert seeds_phrase([Cell(None, None, count) for count in runs], with_spread=False) == phrase
