from __future__ import annotations

from pathlib import Path

import pytest

from cmcr.errors import DataError
from cmcr.step_times import StepTime, StepTimes, Work, measure

WORK = Work("linear_probe", "*", "cuda", "0123456789ab")


def test_times_are_read_off_a_log_across_midnight() -> None:
    log = [
        "23:59:50 step 10/40  loss=2.1636  1.0 steps/s, 30 s left",
        "something else",
        "00:00:10 step 20/40  loss=1.9",
        "00:00:30 step 30/40  loss=1.9",
        "00:02:00 scoring 100/300  60 s left",
        "00:02:50 scoring 200/300  30 s left",
    ]
    assert list(measure(WORK, log)) == [
        StepTime("linear_probe", "*", "cuda", "0123456789ab", 40 / 20),
        StepTime("score_linear_probe", "*", "cuda", "0123456789ab", 0.5),
    ]


def test_the_second_variant_of_a_probe_starts_anew() -> None:
    log = ["10:00:00 step 1/2  a", "10:00:09 step 2/2  a", "11:00:00 step 1/2  a", "11:00:03 step 2/2  a"]
    assert [time.seconds for time in measure(WORK, log)] == [3.0]


@pytest.mark.parametrize("log", [[], ["10:00:00 step 1/2  a"], ["10:00:00 step 1/4  a", "10:00:00 step 2/4  a"]])
def test_a_log_that_shows_no_time_gives_none(log: list[str]) -> None:
    assert list(measure(WORK, log)) == []


def test_a_time_holds_for_its_setting_alone() -> None:
    times = StepTimes((StepTime(*WORK, 2.0), StepTime("score_linear_probe", "*", "cuda", "*", 0.5)))
    assert times.step(WORK) == 2.0
    assert times.step(WORK._replace(setting="another")) is None
    assert times.step(WORK._replace(device="cpu")) is None
    assert times.score(WORK._replace(setting="another")) == 0.5


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    times = StepTimes((StepTime(*WORK, 0.25), StepTime("pretrain", "ppkt", "cpu", "*", 12.5)))
    path = tmp_path / "times.tsv"
    path.write_text("# where it was measured\n" + times.text())
    assert StepTimes.load(path) == times


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line"),
        ("a\tb\n", "another header"),
        (StepTimes().text() + "pretrain\tppkt\tcpu\n", "line 2"),
        (StepTimes().text() + "pretrain\tppkt\tcpu\t*\tfast\n", "positive number of seconds"),
        (StepTimes().text() + "pretrain\tppkt\tcpu\t*\t-1\n", "positive number of seconds"),
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "times.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        StepTimes.load(path)
    with pytest.raises(DataError, match="gone"):
        StepTimes.load(tmp_path / "gone.tsv")
