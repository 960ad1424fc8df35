from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from cmcr.errors import ScoresError
from cmcr.results.collect import scores_table
from cmcr.results.scores import Metric, Scores
from cmcr.results.summary import CLASS_METRIC, MEAN_METRICS
from cmcr.results.table_text import to_markdown
from cmcr.results.tables import per_class_tables, task_table


def test_methods_by_label_share(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    table = task_table(scores, "segmentation", "miou", methods)
    assert [column.label for column in table.columns] == ["linear probe", "1 %", "10 %"]
    assert [row.label for row in table.rows] == ["Scratch", "PPKT", "CMCR"]
    assert [cell.mean for cell in table.rows[1].cells] == [21.0, 26.0, 31.0]


def test_the_order_of_methods_is_the_callers(scores: pd.DataFrame) -> None:
    table = task_table(scores, "segmentation", "miou", {"cmcr": "CMCR", "slidr": "SLidR", "scratch": "Scratch"})
    assert [row.label for row in table.rows] == ["CMCR", "SLidR", "Scratch"]
    assert {cell.reason for cell in table.rows[1].cells} == {"no run"}


def test_the_caption_says_what_was_measured(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    caption = task_table(scores, "segmentation", "miou", methods).caption
    for words in (
        "on toy data",
        "mIoU in percent (higher is better)",
        "mean and sample standard deviation over 3 seeds.",
        "town: split val, 12 frames",
        "labelled scans: 40 (linear probe), 1 (1 %), 4 (10 %)",
    ):
        assert words in caption


def test_the_caption_says_how_networks_were_trained(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    recipes = {"town": "fine-tuning 2 epochs", "village": "fine-tuning 3 epochs"}
    caption = task_table(scores, "segmentation", "miou", methods, recipes=recipes).caption
    assert "4 (10 %). Recipe: fine-tuning 2 epochs." in caption
    assert "3 epochs" not in caption


def test_real_data_are_not_called_toy(make_run: Callable[..., Scores]) -> None:
    caption = task_table(scores_table({"a": make_run(toy=False)}), "segmentation", "miou", {"ppkt": "PPKT"}).caption
    assert "toy" not in caption
    assert "one seed" in caption


def test_two_data_sets_stand_side_by_side(make_run: Callable[..., Scores]) -> None:
    runs = {"a": make_run(), "b": make_run(dataset="village", num_frames=7, label_percent=1)}
    table = task_table(scores_table(runs), "segmentation", "miou", {"ppkt": "PPKT"})
    assert [(column.group, column.label) for column in table.columns] == [("town", "10 %"), ("village", "1 %")]
    assert "village: split val, 7 frames" in table.caption


def test_classes_by_methods_in_every_setting(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    (table,) = per_class_tables(scores, "segmentation", "iou", ("miou", "fwiou"), methods)
    assert [column.label for column in table.columns] == ["mIoU", "fwIoU", "car", "road"]
    assert [row.block for row in table.rows[::3]] == ["linear probe", "fine-tuned on 1 %", "fine-tuned on 10 %"]
    assert [cell.mean for cell in table.rows[4].cells] == [26.0, 27.0, 21.0, 31.0]
    assert table.rows[4].keys == {
        "dataset": "town",
        "protocol": "finetune",
        "label_percent": "1",
        "method": "ppkt",
    }
    assert "toy" in table.caption


def test_an_unknown_metric_is_refused(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    with pytest.raises(ScoresError, match="expected: the metric pq"):
        task_table(scores, "segmentation", "pq", methods)


def test_a_method_that_does_not_apply_says_why_in_the_notes(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    named, reasons = {**methods, "slidr": "SLidR"}, {"slidr": "SLidR needs images, and town has no cameras"}
    tables = [
        task_table(scores, "segmentation", "miou", named, reasons),
        *per_class_tables(scores, "segmentation", "iou", ("miou",), named, reasons),
    ]
    for table in tables:
        cells = [cell for row in table.rows if row.label == "SLidR" for cell in row.cells]
        assert {(cell.mean, cell.reason) for cell in cells} == {(None, reasons["slidr"])}
    assert to_markdown(tables[0]).endswith(f"n/a: (a) {reasons['slidr']}.\n")


def test_every_task_has_a_headline_and_a_metric_for_each_class(make_run: Callable[..., Scores]) -> None:
    for task, means in MEAN_METRICS.items():
        names = [*((mean, "all") for mean in means), (CLASS_METRIC[task], "car"), ("unshown", "car")]
        metrics = [
            Metric(metric=name, class_name=of, value=float(place), higher_is_better=True)
            for place, (name, of) in enumerate(names)
        ]
        scores = scores_table({"a": make_run(task=task, metrics=metrics)})
        assert task_table(scores, task, means[0], {"ppkt": "PPKT"}).rows[0].cells[0].mean == 0.0
        (table,) = per_class_tables(scores, task, CLASS_METRIC[task], means, {"ppkt": "PPKT"})
        assert [column.key for column in table.columns] == [*means, f"{CLASS_METRIC[task]}/car"]
        assert all(column.label != column.key for column in table.columns[: len(means)])  # each has a name for print
