from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from cmcr.report.markdown import Heading, Paragraph, TableView, blocks, captioned
from cmcr.results.summary import Cell
from cmcr.results.table_text import to_markdown
from cmcr.results.tables import Column, Row, Table


def table(label: str, caption: str = "A table.", reason: str = "") -> Table:
    missing = [Row({"method": "b"}, "", "none", [Cell(None, None, 0, reason=reason)])] if reason else []
    rows = [Row({"method": "a"}, "", label, [Cell(12.34, 0.5, 3)]), *missing]
    return Table("t", caption, [Column("x", "10 %", "", True)], rows, with_spread=True)


def test_a_table_of_ours_comes_back_with_its_caption_and_notes() -> None:
    (view,) = captioned(blocks(to_markdown(table("PPKT", "All of it: a * b.", "no run"))))
    assert view.caption == "All of it: a * b."
    assert [(column.text, column.numeric) for column in view.columns] == [("Method", False), ("10 %", True)]
    assert view.rows == [["PPKT", "<strong>12.3</strong> ± 0.5"], ["none", "n/a (a)"]]
    assert view.notes == ["n/a: (a) no run."]
    assert view.naming_column == 0


def test_each_of_several_tables_has_its_own_caption_and_notes() -> None:
    text = "\n".join(map(to_markdown, [table("A", "First.", "too big"), table("B", "Second."), table("C", "Third.")]))
    views = captioned(blocks(text))
    assert [view.caption for view in views] == ["First.", "Second.", "Third."]
    assert [list(view.notes) for view in views] == [["n/a: (a) too big."], [], []]


def test_a_text_without_a_table_has_none() -> None:
    assert captioned(blocks("# Scores\n\nNone.\n")) == []


def test_the_column_before_the_numbers_names_the_row() -> None:
    text = "| Setting | Method | x |\n| --- | --- | ---: |\n| probe | PPKT | 1 |\n"
    (view,) = blocks(text)
    assert isinstance(view, TableView)
    assert view.naming_column == 1
    (words,) = blocks("| subject | ours |\n| --- | --- |\n| frames | all |\n")
    assert isinstance(words, TableView)
    assert words.naming_column == 0


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "before <b onclick=alert(1)>bold</b>",
        "[link](javascript:alert(1))",
        "[link](data:text/html,<script>alert(1)</script>)",
        "![picture](http://example.org/a.png)",
        "<http://example.org/><img src=x>",
    ],
)
def test_nothing_in_the_text_becomes_a_tag_that_runs_or_loads(text: str) -> None:
    for block in blocks(f"{text}\n\n| {text} |\n| --- |\n| {text} |\n"):
        parts = [block.text] if isinstance(block, Heading | Paragraph) else [c.text for c in block.columns]
        for html in parts if not isinstance(block, TableView) else [*parts, *block.rows[0]]:
            for harm in ("<script", "<b ", "<img", 'javascript:alert(1)"', 'href="data:'):
                assert harm not in html


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30))
def test_a_label_is_shown_letter_by_letter(label: str) -> None:
    (view,) = captioned(blocks(to_markdown(table(label))))
    assert Markup(view.rows[0][0]).unescape() == label.strip() or not label.strip()


def test_headings_and_paragraphs_keep_their_order() -> None:
    found = blocks("# Title\n\nSome `code`.\n\n## Part\n")
    assert found == [
        Heading(Markup("Title"), 1),
        Paragraph(Markup("Some <code>code</code>.")),
        Heading(Markup("Part"), 2),
    ]


def test_a_number_may_be_underlined_and_nothing_else() -> None:
    (number, words) = blocks("<ins>-1.3</ins>\n\n<ins>a</ins> <ins onclick='x'>1</ins>")
    assert isinstance(number, Paragraph)
    assert number.text == "<ins>-1.3</ins>"
    assert isinstance(words, Paragraph)
    assert "<" not in words.text
