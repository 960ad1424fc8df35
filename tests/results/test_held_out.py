from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cmcr.errors import ScoresError
from cmcr.results.held_out import HeldOut, read_held_out, write_held_out

from .conftest import PROVENANCE


def held_out(**changes: Any) -> HeldOut:
    fields: dict[str, Any] = {
        "dataset": "town",
        "split": "val",
        "method": "cmcr",
        "seed": 0,
        "toy": True,
        "num_scans": 3,
        "measures": {"occupancy_accuracy": 0.75, "error_inside_masks": None},
        "provenance": PROVENANCE,
    }
    return HeldOut(**{**fields, **changes})


def test_what_is_written_comes_back_and_is_flat(tmp_path: Path) -> None:
    path = tmp_path / "held_out.json"
    write_held_out(path, held_out())
    assert read_held_out(path) == held_out()
    assert json.loads(path.read_text())["measures"] == {"error_inside_masks": None, "occupancy_accuracy": 0.75}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measures": {"a": "high"}}, "measures.a: .*valid number"),
        ({"measures": {}}, "measures: .*at least 1"),
        ({"schema_version": 2}, "expected: schema_version 1"),
        ({"surplus": 1}, "surplus: Extra inputs"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "held_out.json"
    path.write_text(json.dumps({**held_out().model_dump(mode="json"), **change}))
    with pytest.raises(ScoresError, match=message) as raised:
        read_held_out(path)
    assert str(raised.value).startswith(str(path))


def test_a_missing_or_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "held_out.json"
    with pytest.raises(ScoresError, match="no such measures file"):
        read_held_out(path)
    path.write_text('{"dataset":')
    with pytest.raises(ScoresError, match="not a JSON file"):
        read_held_out(path)
