from __future__ import annotations

from pathlib import Path

import pytest

from cmcr.errors import CMCRError
from cmcr.report.files import RunFiles


def test_files_are_told_apart_by_their_place(run_folder: Path) -> None:
    files = RunFiles.found(run_folder)
    assert [files.link(path) for path in files.tables] == ["tables/segmentation.md"]
    assert [files.link(path) for path in files.figures] == [
        "figures/features_town_scratch.png",
        "figures/losses_town_harm0.png",
        "figures/losses_town_harm0.svg",
    ]
    assert len(files.scores) == 10
    assert [files.link(path) for path in files.held_out] == [
        f"pretrain/town/minkunet/harm0/seed{s}/held_out.json" for s in (0, 1)
    ]
    assert files.diagnoses == ()


def test_named_files_are_all_that_counts(run_folder: Path) -> None:
    # What an earlier config left in the folder is not part of the run.
    some = [
        run_folder / "run.json",
        run_folder / "tables" / "segmentation.md",
        run_folder / "tables" / "segmentation.csv",
    ]
    files = RunFiles.of(run_folder, map(str, some))
    assert files.tables == (run_folder / "tables" / "segmentation.md",)
    assert files.scores == files.figures == files.held_out == ()
    assert files == RunFiles.of(run_folder, reversed(some))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CMCRError, match=r"not the folder of a run\n  expected: run.json"):
        RunFiles.found(tmp_path)
