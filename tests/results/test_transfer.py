from __future__ import annotations

from collections.abc import Callable

import pytest

from cmcr.errors import ScoresError
from cmcr.results.collect import scores_table
from cmcr.results.scores import Scores
from cmcr.results.summary import AbsentDataset
from cmcr.results.table_text import to_csv, to_markdown
from cmcr.results.transfer import transfer_table

ABSENT = {"segmentation": {"river": AbsentDataset("make river-env", [("finetune", 1.0), ("finetune", 10.0)])}}


def test_only_data_sets_that_pre_training_did_not_see_are_columns(make_run: Callable[..., Scores]) -> None:
    runs = {
        "seen": make_run(10.0, dataset="town"),
        "scratch": make_run(20.0, dataset="village", num_frames=7, method="scratch", pretrain_dataset="none"),
        "ppkt": make_run(30.0, dataset="village", num_frames=7),
    }
    table = transfer_table(scores_table(runs), ["town"], {"scratch": "Scratch", "ppkt": "PPKT"})
    assert [(column.key, column.group) for column in table.columns] == [
        ("segmentation/village/finetune/10pct", "village, mIoU (%)")
    ]
    assert [[cell.mean for cell in row.cells] for row in table.rows] == [[20.0], [30.0]]
    assert table.caption.startswith("Transfer on toy data: pre-trained on town, fine-tuned on other data sets, one seed.")
    assert "Segmentation, village: split val, 7 frames" in table.caption


def test_a_data_set_that_could_not_be_had_says_why_in_every_cell(make_run: Callable[..., Scores]) -> None:
    scores = scores_table({"a": make_run(30.0, dataset="village")})
    table = transfer_table(scores, ["town"], {"ppkt": "PPKT", "cmcr": "CMCR"}, {"segmentation": {"cmcr": "has no images"}}, ABSENT)
    assert [column.key.split("/", 1)[1] for column in table.columns] == [
        "river/finetune/1pct",
        "river/finetune/10pct",
        "village/finetune/10pct",
    ]
    assert [cell.reason for cell in table.rows[0].cells] == ["make river-env", "make river-env", ""]
    assert table.rows[1].cells[-1].reason == "has no images"
    assert "(a) make river-env" in to_markdown(table)
    assert "river: n/a (make river-env)." in table.caption
    assert "segmentation/river/finetune/1pct/mean" in to_csv([table])


def test_without_another_data_set_there_is_no_table(make_run: Callable[..., Scores]) -> None:
    with pytest.raises(ScoresError, match="no scores on other data sets than town"):
        transfer_table(scores_table({"a": make_run(dataset="town")}), ["town"], {"ppkt": "PPKT"})
