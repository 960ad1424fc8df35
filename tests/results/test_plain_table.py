from __future__ import annotations

from pathlib import Path

from cmcr.results.plain_table import PlainColumn, PlainTable, to_csv, to_latex, to_markdown, write_plain_table

TABLE = PlainTable(
    "t",
    "5 % of_it.",
    [PlainColumn("A", once=True), PlainColumn("B", once=True), PlainColumn("C", number=True)],
    [["a", "x", "1"], ["a", "x", "2"], ["b", "x", "3"], ["b", "y | z", "4"]],
    [{"key": 1.5}],
    ["key", "more"],
    ["See & believe."],
)


def test_what_the_line_above_said_is_left_out_as_far_as_all_to_its_left_repeats() -> None:
    lines = to_markdown(TABLE).splitlines()
    assert lines[4:8] == [
        "| a   | x      |   1 |",
        "|     |        |   2 |",
        "| b   | x      |   3 |",
        r"|     | y \| z |   4 |",
    ]
    assert lines[-1] == "- See &amp; believe."
    assert r" &  & 2 \\" in to_latex(TABLE)


def test_texts_are_escaped_and_the_csv_is_whole(tmp_path: Path) -> None:
    assert r"\caption{5 \% of\_it.}" in to_latex(TABLE)
    assert r"See \& believe." in to_latex(TABLE)
    assert to_csv(TABLE) == "key,more\n1.5,\n"
    write_plain_table(tmp_path, TABLE)
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "t.md", "t.tex"}
