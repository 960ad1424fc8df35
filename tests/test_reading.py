"""Small files from elsewhere."""

from __future__ import annotations

import pytest

from cmcr.reading import parse_json


@pytest.mark.parametrize("text", ["1" * 400, "[-" + "9" * 301 + "]", '{"a": ' + "7" * 5000 + "}"])
def test_whole_numbers_that_no_float_holds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        parse_json(text)


def test_large_whole_numbers_are_whole() -> None:
    assert parse_json(f"[{2**63}, -{2**63}, 0, 1{'0' * 299}]") == [2**63, -(2**63), 0, 10**299]


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"a": ["b\uDFFF"]}', r'{"\ude00\ud83d": 1}'])
def test_half_a_character_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="half a character"):
        parse_json(text)


def test_two_halves_are_a_character() -> None:
    assert parse_json(r'"\ud83d\ude00"') == "\U0001f600"
    assert parse_json(r'"\\ud800"') == r"\ud800"


def test_bytes_are_in_utf_8() -> None:
    assert parse_json('"ä"'.encode()) == parse_json('"ä"'.encode("utf-8-sig")) == "ä"
    for content in ('"ä"'.encode("latin-1"), b'"\xed\xa0\x80"', '"a"'.encode("utf-16")):
        with pytest.raises(ValueError, match="utf-8"):
            parse_json(content)
