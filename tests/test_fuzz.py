"""Text of others put into Markdown and LaTeX stays text; and the limits within which every reader is tried hold."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import numpy as np
import pytest
from fuzz import MOST_BYTES, SETTINGS
from hypothesis import given
from hypothesis import strategies as st
from limits import in_memory, in_time, ran_out_of_memory
from markdown_it import MarkdownIt

from cmcr.errors import DataError
from cmcr.results.table_text import escape_latex, escape_markdown

pytestmark = [pytest.mark.torture, pytest.mark.slow]

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


@SETTINGS
@given(st.text(max_size=40) | st.text("\\`*_[]()<>!|~$#&\r\n\t-+.:/ ahttp123\u2028\x0b\x1c", max_size=40))
def test_escaped_text_is_one_cell_of_markdown_and_says_the_same(text: str) -> None:
    tokens = PARSER.parse(f"| a | b |\n| --- | --- |\n| {escape_markdown(text)} | end |\n")
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type == "inline"]
    assert (len(rows), len(cells), tokens[0].type) == (2, 4, "table_open")
    children = cells[2].children or []
    assert {child.type for child in children} <= {"text", "text_special", "softbreak"}
    shown = "".join(child.content for child in children)
    assert " ".join(shown.split()) == " ".join(re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", text).split())


@SETTINGS
@given(st.text(max_size=40) | st.text('\\{}$&#_%~^<>|"[]*±²\n\r ab', max_size=40))
def test_escaped_text_has_no_command_of_its_own_in_latex(text: str) -> None:
    escaped = escape_latex(text)
    left = escaped
    for known in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\textless{}", r"\textgreater{}",
                  r"\textbar{}", "{''}", "{[}", "{]}", "{*}", r"$\pm$", "$^2$"):  # fmt: skip
        left = left.replace(known, "")
    for character in "{}$&#_%":
        left = left.replace("\\" + character, "")
    assert not set(left) & set('\\{}$&#_%~^<>|"[]*\n\r')
    assert "\n" not in escaped


def test_a_reader_that_hangs_cannot_take_the_alarm_for_damage() -> None:
    with pytest.raises(TimeoutError), in_time(1), suppress(Exception):
        time.sleep(10)


def test_a_reader_that_asks_for_memory_gets_none_and_cannot_hide_it() -> None:
    def read() -> None:
        try:
            np.empty(2 * MOST_BYTES, np.uint8)
        except Exception as error:
            raise DataError(f"damaged: {error}") from None

    with pytest.raises(DataError) as caught, in_memory(MOST_BYTES):
        read()
    assert ran_out_of_memory(caught.value)
    assert not ran_out_of_memory(DataError("damaged"))
    assert len(np.empty(2 * MOST_BYTES, np.uint8)) == 2 * MOST_BYTES
