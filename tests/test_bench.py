from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import data, engine, growth, losses, scans, steps
from bench.__main__ import as_markdown, profiled
from bench.measure import peak_mb, race

ROOT = Path(__file__).resolve().parents[1]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_rivals_are_called_in_turns_after_a_warm_up() -> None:
    called: list[str] = []
    times = race({name: lambda name=name: called.append(name) for name in "ab"}, rounds=3)
    assert "".join(called) == "ab" + "ab" + 3 * "ab"
    assert [len(found.seconds) for found in times.values()] == [3, 3]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is Linux's to tell")
def test_memory_is_what_a_call_takes_and_gives_back() -> None:
    large, small = (peak_mb(lambda size=size: torch.ones(size, dtype=torch.uint8)) for size in (300_000_000, 1000))
    assert large == pytest.approx(300, rel=0.1)
    assert small < 30


@pytest.mark.slow
def test_rivals_of_the_losses_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PAIRS": 50, "CODES": 7, "IMAGES": 2, "MATCHED": 500}.items():
        monkeypatch.setattr(losses, name, value)
    for name, case in losses.CASES.items():  # which compares values
        results = {rival: work() for rival, work in case.rivals().items()}
        first, *others = results.values()
        for other in others:
            for one, two in zip(first, other, strict=True):  # type: ignore[call-overload]
                torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
def test_every_stage_of_the_data_and_every_layer_can_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "IMAGE_SIZE", (90, 160))
    monkeypatch.setattr(data, "COLUMNS", 90)
    monkeypatch.setattr(engine, "VOXELS", 2000)
    monkeypatch.setattr(engine, "SIDE", 16)
    monkeypatch.setattr(steps, "CITY", steps.CITY.model_copy(update={"azimuth_steps": 90}))
    for name in ("VOXELS", "POINTS", "PAIRS", "SCORED"):
        monkeypatch.setattr(growth, name, 100)
    for name in ("LABELLED", "POINTS", "INSTANCES", "SIDE"):
        monkeypatch.setattr(scans, name, 50)
    for case in {**data.CASES, **engine.CASES, **scans.CASES, **steps.CASES, **growth.CASES}.values():
        assert all(times.median > 0 for times in race(case.rivals(), rounds=1).values())


def test_a_profile_names_what_takes_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SIDE", 16)
    lines = profiled("layer", threads=1).splitlines()
    shares = [float(line.split("|")[2].strip(" %")) for line in lines[2:]]
    assert len(shares) == 15
    assert shares == sorted(shares, reverse=True)
    assert 50 < sum(shares) <= 100.5


def test_a_table_has_each_case_with_its_first_entry_as_the_measure() -> None:
    times = {"fastest_s": 1.0, "slowest_s": 3.0, "rounds": 1, "peak_mb": None}
    rivals = {"zebra": {**times, "median_s": 2.0}, "ape": {**times, "median_s": 1.0, "peak_mb": 7.4}}
    lines = as_markdown({"a": {"title": "A", "rivals": rivals}}, {"hardware": {"cpu": "x", "threads": 1}}).splitlines()
    assert lines[-3:] == [
        "| **A** | | | | |",
        "| zebra | 2.0000 | 1.0000 to 3.0000 | 1.00 |  |",
        "| ape | 1.0000 | 1.0000 to 3.0000 | 0.50 | 7 |",
    ]


def test_two_measurements_are_compared_and_anything_else_is_refused(tmp_path: Path) -> None:
    for name, seconds in (("old", 2.0), ("new", 1.0)):
        content = {"cases": {"a": {"title": "A", "rivals": {"ours": {"median_s": seconds}}}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    done = bench("--compare", str(tmp_path / "old.json"), str(tmp_path / "new.json"))
    assert "| A | ours | 2.0000 | 1.0000 | 0.50 |" in done.stdout
    for other in ("[]", '{"cases": {"a": 3}}', '{"cases": {"a": {"title": "A", "rivals": {"ours": {}}}}}'):
        (tmp_path / "new.json").write_text(other)
        refused = bench("--compare", str(tmp_path / "old.json"), str(tmp_path / "new.json"))
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"bench: {tmp_path / 'new.json'}: expected")


def test_an_unknown_case_is_named() -> None:
    done = bench("code_matchin")
    assert done.returncode == 2
    assert "no case 'code_matchin'" in done.stderr
