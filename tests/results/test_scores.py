from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cmcr.errors import ScoresError
from cmcr.results.scores import Metric, Scores, read_scores, write_scores


@pytest.fixture
def path(tmp_path: Path, make_run: Callable[..., Scores]) -> Path:
    file = tmp_path / "scores.json"
    write_scores(file, make_run(variants={"batch_norm_as_initialised": 9.5}))
    return file


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_read_is_what_was_written(tmp_path: Path, make_run: Callable[..., Scores]) -> None:
    for percent, value in ((1, 22.3), (12.5, 0.1 + 0.2), (100, None)):
        run = make_run(value, label_percent=percent)
        write_scores(tmp_path / "scores.json", run)
        assert read_scores(tmp_path / "scores.json") == run


def test_the_file_speaks_for_itself(path: Path) -> None:
    content = json.loads(path.read_text())
    assert content["schema_version"] == 1
    assert content["label_percent"] == 10
    assert content["metrics"][2] == {
        "metric": "iou",
        "class": "car",
        "value": 15.0,
        "higher_is_better": True,
        "unit": "percent",
        "reason": None,
    }
    assert content["provenance"]["hardware"]["gpu"] == "none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("method"), "method: Field required"),
        (lambda c: c.update(comment="mine"), "comment: Extra inputs are not permitted"),
        (lambda c: c["provenance"].pop("git_commit"), "provenance.git_commit: Field required"),
        (lambda c: c.update(schema_version=2), "schema_version 1\n  found:    2"),
        (lambda c: c.pop("schema_version"), "schema_version 1\n  found:    None"),
        (lambda c: c["metrics"][0].update(value=99.9), "edited after the run"),
        (lambda c: c["variants"].update(batch_norm_as_initialised=1.0), "edited after the run"),
        (lambda c: c.pop("checksum"), "edited after the run"),
        (lambda c: c["metrics"][0].update(value=float("nan")), "NaN is not a score"),
        (lambda c: c["metrics"][0].update(value=float("inf")), "Infinity is not a score"),
        (lambda c: c["metrics"][0].update(value="22.3"), "metrics.0.value"),
        (lambda c: c["metrics"][0].update(value=None), "either a value or, if it is null, the reason"),
        (lambda c: c["metrics"].append(c["metrics"][0]), "metric miou of class all is given 2 times"),
        (lambda c: c.update(metrics=[]), "metrics"),
        (lambda c: c.update(method="../ppkt"), "method"),
        (lambda c: c.update(label_percent=0), "label_percent"),
        (lambda c: c.update(protocol="probe"), "protocol"),
    ],
)
def test_a_damaged_file_is_named_with_the_field(path: Path, change: Callable[[Any], Any], message: str) -> None:
    rewrite(path, change)
    with pytest.raises(ScoresError) as caught:
        read_scores(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"{", "not a JSON file"), (b"", "not a JSON file"), (b"\xff\xfe", "not a JSON file"), (b"[]", "found:    list")],
)
def test_a_file_that_holds_no_record_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "scores.json").write_bytes(text)
    with pytest.raises(ScoresError, match=message):
        read_scores(tmp_path / "scores.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="no such scores file"):
        read_scores(tmp_path / "scores.json")


def test_a_number_says_its_unit(tmp_path: Path, make_run: Callable[..., Scores]) -> None:
    error = Metric(metric="maoe", class_name="all", value=0.3, higher_is_better=False, unit="rad")
    run = make_run()
    write_scores(tmp_path / "scores.json", run.model_copy(update={"metrics": [*run.metrics, error]}))
    assert read_scores(tmp_path / "scores.json").metrics[-1] == error
    with pytest.raises(ValidationError, match="unit"):
        Metric(metric="maoe", class_name="all", value=17.2, higher_is_better=False, unit="degrees")  # type: ignore[arg-type]


def test_a_number_needs_no_reason_and_a_reason_no_number() -> None:
    with pytest.raises(ValidationError):
        Metric(metric="miou", class_name="all", value=1.0, higher_is_better=True, reason="because")
    with pytest.raises(ValidationError):
        Metric(metric="miou", class_name="all", value=float("nan"), higher_is_better=True)
