from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cmcr.errors import ScoresError
from cmcr.results.collect import (
    COLUMNS,
    collect_scores,
    read_scores_table,
    read_scores_tables,
    scores_table,
    write_scores_table,
)
from cmcr.results.scores import Scores, write_scores


def write_all(folder: Path, runs: dict[str, Scores]) -> list[Path]:
    for name, run in runs.items():
        write_scores(folder / name, run)
    return [folder / name for name in runs]


def test_one_row_per_number(runs: dict[str, Scores], scores: pd.DataFrame) -> None:
    assert len(scores) == sum(len(run.metrics) for run in runs.values())
    row = scores[(scores["method"] == "cmcr") & (scores["seed"] == 2) & (scores["class"] == "car")].iloc[-1]
    assert row["protocol"] == "linear_probe"
    assert row["value"] == 27.0
    assert row["pretrain_dataset"] == "town"
    assert row["label_scans"] == 40
    assert row["git_commit"] == "0123abcd"


def test_the_file_has_the_same_bytes_in_any_order_of_runs(tmp_path: Path, runs: dict[str, Scores]) -> None:
    paths = write_all(tmp_path, runs)
    write_scores_table(tmp_path / "a.tsv", collect_scores(paths))
    write_scores_table(tmp_path / "b.tsv", collect_scores(paths[::-1]))
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()


def test_time_memory_and_machine_stay_behind(tmp_path: Path, scores: pd.DataFrame) -> None:
    write_scores_table(tmp_path / "scores.tsv", scores)
    header = (tmp_path / "scores.tsv").read_text().splitlines()[0].split("\t")
    assert header == list(COLUMNS)
    assert not [name for name in header if any(word in name for word in ("time", "memory", "cpu", "host", "packages"))]


def test_what_is_read_is_what_was_written(tmp_path: Path, make_run: Callable[..., Scores]) -> None:
    table = scores_table(
        {
            "a": make_run(0.1 + 0.2, label_percent=100 / 3),
            "b": make_run(None, seed=1),
            "c": make_run(20.0, method="none", seed=2),
        }
    )
    write_scores_table(tmp_path / "scores.tsv", table)
    pd.testing.assert_frame_equal(read_scores_table(tmp_path / "scores.tsv"), table, check_exact=True)
    assert "\t10\t" in (tmp_path / "scores.tsv").read_text()


def test_parts_make_the_table_of_all(tmp_path: Path, scores: pd.DataFrame) -> None:
    paths = []
    for method, part in scores.groupby("method"):
        paths.append(tmp_path / f"{method}.tsv")
        write_scores_table(paths[-1], part)
    assert len(paths) > 1
    pd.testing.assert_frame_equal(read_scores_tables(paths[::-1]), scores, check_exact=True)


def test_a_number_of_two_tables_is_refused_with_both(tmp_path: Path, scores: pd.DataFrame) -> None:
    write_scores_table(tmp_path / "all.tsv", scores)
    write_scores_table(tmp_path / "some.tsv", scores.iloc[5:9])
    with pytest.raises(ScoresError, match=r"some\.tsv: a number that stands in .*all\.tsv too"):
        read_scores_tables([tmp_path / "all.tsv", tmp_path / "some.tsv"])


def test_uncommitted_code_shows(make_run: Callable[..., Scores]) -> None:
    run = make_run()
    dirty = run.model_copy(update={"provenance": run.provenance.model_copy(update={"dirty": True})})
    assert set(scores_table({"a": dirty})["git_commit"]) == {"0123abcd-dirty"}


def test_the_same_number_twice_is_refused_with_both_files(make_run: Callable[..., Scores]) -> None:
    with pytest.raises(ScoresError, match=r"(?s)second\.json.*first\.json.*seed 0"):
        scores_table({"first.json": make_run(20.0), "second.json": make_run(21.0)})


def test_an_empty_collection_is_an_empty_table() -> None:
    assert list(scores_table({}).columns) == list(COLUMNS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("higher_is_better", "better"), "no higher_is_better"),
        (lambda text: text + text.splitlines()[1] + "\n", "line 110 repeats a number"),
        (lambda text: text.replace("\t15.0\t", "\t\t", 1), "has neither a value nor a reason"),
        (lambda text: text.replace("\t15.0\t", "\tmany\t", 1), "damaged table"),
        (lambda text: text.replace("\tTrue\t", "\tyes\t", 1), "damaged table"),
        (lambda text: text.splitlines()[0][:20], "no "),
        (lambda text: "", "damaged table"),  # noqa: ARG005
    ],
)
def test_a_damaged_table_is_refused(
    tmp_path: Path, scores: pd.DataFrame, change: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "scores.tsv"
    write_scores_table(path, scores)
    path.write_text(change(path.read_text()))
    with pytest.raises(ScoresError, match=message) as caught:
        read_scores_table(path)
    assert str(path) in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="no such table of scores"):
        read_scores_table(tmp_path / "scores.tsv")
