from __future__ import annotations

import math
from pathlib import Path

import pytest

from cmcr.files import atomic_path, sha256_of_json, write_json, write_text


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            assert target.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_name_keeps_the_suffix_and_the_file_the_usual_rights(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_path(tmp_path / "new" / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path / "new"
    assert (tmp_path / "new" / "figure.png").stat().st_mode == plain.stat().st_mode


def test_what_a_killed_writer_left_is_swept_away_and_others_are_not(tmp_path: Path) -> None:
    left, other = tmp_path / ".a[1].npy.x1y2.part.npy", tmp_path / ".b.npy.x1y2.part.npy"
    left.touch()
    other.touch()
    with atomic_path(tmp_path / "a[1].npy"):
        assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a[1].npy", other.name}


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_what_json_cannot_say_is_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


def test_equal_content_has_equal_bytes_and_equal_hashes(tmp_path: Path) -> None:
    one, other = {"a": 1, "b": [1.5, None]}, {"b": [1.5, None], "a": 1}
    write_json(tmp_path / "one.json", one)
    write_json(tmp_path / "other.json", other)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert sha256_of_json(one) == sha256_of_json(other) != sha256_of_json({"a": 1})
