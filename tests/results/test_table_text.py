from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable, Hashable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cmcr.results.collect import scores_table
from cmcr.results.scores import Scores
from cmcr.results.summary import Cell
from cmcr.results.table_text import escape_latex, to_csv, to_latex, to_markdown, write_tables
from cmcr.results.tables import Column, Row, Table, per_class_tables, task_table

NASTY = r"""[*]A_b & 100% #1 $x^2$ ~{y}\z <script>"|`c`"""


def one_column(*means: float | None, higher_is_better: bool = True, runs: int = 1) -> Table:
    rows = [
        Row({"method": f"m{i}"}, "", f"M{i}", [Cell(mean, None, 0 if mean is None else runs, reason="no run")])
        for i, mean in enumerate(means)
    ]
    return Table("t", "A caption.", [Column("c", "c", "", higher_is_better)], rows, with_spread=True)


def read_csv(tables: Sequence[Table], index: str) -> dict[Hashable, dict[Hashable, Any]]:
    return pd.read_csv(io.StringIO(to_csv(tables))).set_index(index).to_dict("index")


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_csv_has_all_digits_deviation_and_number_of_runs(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    table = task_table(scores, "segmentation", "miou", {**methods, "slidr": "SLidR"})
    read = read_csv([table], "method")
    assert list(read) == ["scratch", "ppkt", "cmcr", "slidr"]
    assert read["ppkt"]["town/finetune/10pct/mean"] == 31.0
    assert read["ppkt"]["town/finetune/10pct/std"] == 1.0
    assert read["ppkt"]["town/finetune/10pct/n"] == 3
    assert pd.isna(read["slidr"]["town/finetune/10pct/mean"])
    assert read["slidr"]["town/finetune/10pct/n"] == 0
    assert "slidr,n/a,n/a,0" in to_csv([table])


def test_csv_of_data_sets_with_other_classes(make_run: Callable[..., Scores]) -> None:
    run = make_run(dataset="village")
    metrics = [m.model_copy(update={"class_name": "boat"}) if m.class_name == "car" else m for m in run.metrics]
    runs = {"a": make_run(), "b": run.model_copy(update={"metrics": metrics})}
    tables = per_class_tables(scores_table(runs), "segmentation", "iou", ("miou",), {"ppkt": "PPKT"})
    read = read_csv(tables, "dataset")
    assert read["town"]["iou/car/mean"] == read["village"]["iou/boat/mean"] == 15.0
    assert pd.isna(read["village"]["iou/car/mean"])


def test_markdown_shows_mean_deviation_and_the_best_in_bold(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    rows = markdown_rows(to_markdown(task_table(scores, "segmentation", "miou", methods)))
    assert rows[0] == ["Scratch", "11.0 ± 1.0", "16.0 ± 1.0", "21.0 ± 1.0"]
    assert rows[2] == ["CMCR", "**31.0** ± 1.0", "**36.0** ± 1.0", "**41.0** ± 1.0"]


@pytest.mark.parametrize(
    ("means", "higher", "bold"),
    [
        ((1.0, 3.0, 2.0), True, {1}),
        ((1.0, 3.0, 2.0), False, {0}),
        ((22.34, 22.31, 22.2), True, {0, 1}),  # they print alike
        ((None, 2.0), True, {1}),
        ((None, None), True, set()),
    ],
)
def test_the_best_follows_the_direction_and_ties_are_all_bold(
    means: tuple[float | None, ...], higher: bool, bold: set[int]
) -> None:
    table = one_column(*means, higher_is_better=higher)
    rows = markdown_rows(to_markdown(table))
    assert {i for i, row in enumerate(rows) if "**" in row[1]} == bold
    assert to_latex(table).count(r"\textbf") == len(bold)


def test_each_setting_has_its_own_best(scores: pd.DataFrame, methods: dict[str, str]) -> None:
    (table,) = per_class_tables(scores, "segmentation", "iou", (), methods)
    text = to_markdown(table)
    assert [row[1] for row in markdown_rows(text) if "**" in row[2]] == ["CMCR"] * 3
    assert "±" not in text


def test_missing_numbers_are_explained_below(make_run: Callable[..., Scores]) -> None:
    runs = {"a": make_run(None), "b": make_run(method="cmcr"), "c": make_run(method="cmcr", seed=1)}
    runs["d"] = make_run(20.0, method="scratch", pretrain_dataset="none")
    methods = {"scratch": "Scratch", "ppkt": "PPKT", "cmcr": "CMCR", "slidr": "SLidR"}
    table = task_table(scores_table(runs), "segmentation", "miou", methods)
    text = to_markdown(table)
    rows = markdown_rows(text)
    assert rows[0][1] == "**20.0** (1)"  # fewer runs than the others
    assert rows[1][1] == "n/a (a)"
    assert rows[3][1] == "n/a (b)"
    assert text.endswith("n/a: (a) it diverged; (b) no run.\n")
    assert "over 1 to 2 seeds (their number in brackets where it is below 2)." in text
    assert r"\textsuperscript{a} it diverged; \textsuperscript{b} no run" in to_latex(table)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.append(tag)


def test_markdown_labels_cannot_break_out(scores: pd.DataFrame) -> None:
    text = to_markdown(task_table(scores, "segmentation", "miou", {"ppkt": NASTY + "\n| new row |"}))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    parser = _Text()
    parser.feed(text)
    assert parser.tags == []
    assert r"\[\*\]A\_b &amp; 100% \#1 \$x^2\$ \~{y}\\z &lt;script&gt;" in text


def test_latex_labels_are_escaped() -> None:
    assert escape_latex(r"a_b & 5% $x$ {y} #1") == r"a\_b \& 5\% \$x\$ \{y\} \#1"
    assert escape_latex("\\ ~ ^") == r"\textbackslash{} \textasciitilde{} \textasciicircum{}"
    assert escape_latex("[x]\n*") == "{[}x{]} {*}"


def test_latex_has_the_same_columns_in_every_line(make_run: Callable[..., Scores]) -> None:
    runs = {"a": make_run(), "b": make_run(dataset="village", label_percent=1), "c": make_run(label_percent=1)}
    text = to_latex(task_table(scores_table(runs), "segmentation", "miou", {"ppkt": "PPKT & Co", "cmcr": "CMCR"}))
    body = text.split(r"\begin{tabular}{lrrr}")[1].split(r"\end{tabular}")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert [line.replace(r"\&", "").count("&") for line in lines] == [3, 3, 3]
    assert r" & \multicolumn{2}{c}{town} & \multicolumn{1}{c}{village} \\" in body
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-4}" in body
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path, scores: pd.DataFrame, methods: dict[str, str]) -> None:
    nasty = {**methods, "slidr": NASTY, "st_slidr": "*", "also": "[x]"}
    write_tables(tmp_path, "a", [task_table(scores, "segmentation", "miou", nasty)])
    write_tables(tmp_path, "b", per_class_tables(scores, "segmentation", "iou", ("miou",), nasty))
    (tmp_path / "all.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{a}\input{b}\end{document}"
    )
    command = ["pdflatex", "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_the_same_scores_give_the_same_bytes(tmp_path: Path, scores: pd.DataFrame, methods: dict[str, str]) -> None:
    shuffled = scores.sample(frac=1, random_state=1)
    write_tables(tmp_path / "a", "t", [task_table(scores, "segmentation", "miou", methods)])
    write_tables(tmp_path / "b", "t", [task_table(shuffled, "segmentation", "miou", methods)])
    for suffix in ("csv", "md", "tex"):
        assert (tmp_path / "a" / f"t.{suffix}").read_bytes() == (tmp_path / "b" / f"t.{suffix}").read_bytes()
