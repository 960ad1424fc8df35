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
