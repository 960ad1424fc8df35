from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from cmcr.results.provenance import NOT_A_CHECKOUT, collect_provenance, git_state


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "cmcr").mkdir()
    (tmp_path / "cmcr" / "loss.py").write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_describes_the_running_process() -> None:
    found = collect_provenance("c0ffee", "beef", git_state(), started=time.monotonic() - 2, threads=1, devices=2)
    assert 2 <= found.wall_time_s < 60
    assert 50 < found.peak_memory_mb < 100_000
    assert found.packages["torch"].startswith("2.")
    assert (found.hardware.threads, found.hardware.devices) == (1, 2)
    assert found.hardware.cpu
    assert found.config_hash == "c0ffee"


def test_commit_of_a_clean_checkout(checkout: Path) -> None:
    commit, dirty = git_state(checkout)
    assert len(commit) == 40
    assert not dirty


def test_edited_and_new_code_are_dirty_and_results_are_not(checkout: Path) -> None:
    (checkout / "results").mkdir()
    (checkout / "results" / "scores.json").write_text("{}")
    assert not git_state(checkout)[1]
    (checkout / "baselines").mkdir()
    (checkout / "baselines" / "new.py").write_text("2")
    assert git_state(checkout)[1]


def test_a_package_inside_another_checkout_is_not_that_checkout(checkout: Path) -> None:
    assert git_state(checkout / "cmcr") == (NOT_A_CHECKOUT, False)


def test_a_git_hook_of_another_checkout_does_not_leak(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = git_state(checkout)
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("elsewhere")))
    assert git_state(checkout) == expected


def test_without_git_there_is_no_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(checkout) == (NOT_A_CHECKOUT, False)
