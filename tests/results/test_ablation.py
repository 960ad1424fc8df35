from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from cmcr.errors import ScoresError
from cmcr.results.ablation import ablation_table
from cmcr.results.held_out import HeldOut
from cmcr.results.table_text import to_csv, to_markdown

from .test_held_out import held_out

LABELS = {"scratch": "contrast", "ppkt": "+ masks", "cmcr": "whole"}
LADDERS = {"cmcr": ["scratch", "ppkt", "cmcr"]}


def measured(method: str, seed: int, **measures: float | None) -> HeldOut:
    return held_out(method=method, seed=seed, measures={"distinct_points": 100.0 + seed, **measures})


def test_rows_stand_in_the_order_of_the_config_with_scores_and_measures(scores: pd.DataFrame) -> None:
    found = [measured("ppkt", seed, error_inside_masks=0.5) for seed in range(3)]
    found += [measured("cmcr", seed, error_inside_masks=0.25, occupancy_accuracy=0.875) for seed in range(3)]
    table = ablation_table(scores, found, LADDERS, LABELS)
    rows = list(csv.DictReader(io.StringIO(to_csv([table]))))
    assert [(row["ablation_of"], row["method"]) for row in rows] == [("cmcr", row) for row in LADDERS["cmcr"]]
    # The invented scores: level of the method, bonus of the setting, and the seed's 0, 1, 2 with mean 1.
    assert [float(row["segmentation/town/linear_probe/100pct/mean"]) for row in rows] == [11, 21, 31]
    assert [float(row["segmentation/town/finetune/10pct/mean"]) for row in rows] == [21, 31, 41]
    assert [row["error_inside_masks/mean"] for row in rows] == ["n/a", "0.5", "0.25"]
    assert [row["distinct_points/mean"] for row in rows] == ["n/a", "101.0", "101.0"]
    assert [row["occupancy_accuracy/n"] for row in rows] == ["0", "0", "3"]
    text = to_markdown(table)
    assert "**0.2500** ± 0.0000" in text  # the lowest error is the best one
    assert " 101 ± 1 " in text  # not bold: more points are neither better nor worse
    assert "n/a: (a) not part of this row." in text
    assert "Ablation on toy data" in text
    assert "3 scans of split val of town" in text


def test_each_method_with_ablations_has_a_block_of_its_own(scores: pd.DataFrame) -> None:
    labels = {**LABELS, "other": "Other", "other_less": "less"}
    more = pd.concat([scores, *(scores[scores["method"] == "ppkt"].assign(method=m) for m in ("other", "other_less"))])
    text = to_markdown(ablation_table(more, [], {**LADDERS, "other": ["other_less", "other"]}, labels))
    assert [line.split("|")[1].strip() for line in text.splitlines()[3:] if line.startswith("|")][1:] == [
        *["whole"] * 3,
        *["Other"] * 2,
    ]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([measured("cmcr", 0), measured("cmcr", 0)], "held-out measures of cmcr, seed 0, twice"),
        ([measured("cmcr", 0), held_out(method="ppkt", split="test")], "found: .*'val'.* and .*'test'"),
    ],
)
def test_what_must_not_be_averaged_is_refused(found: list[HeldOut], message: str, scores: pd.DataFrame) -> None:
    with pytest.raises(ScoresError, match=message):
        ablation_table(scores, found, LADDERS, LABELS)


def test_without_numbers_of_its_rows_there_is_no_table(scores: pd.DataFrame) -> None:
    with pytest.raises(ScoresError, match="no scores and no held-out measures of the rows other"):
        ablation_table(scores, [], {"other": ["other"]}, {"other": "Other"})
