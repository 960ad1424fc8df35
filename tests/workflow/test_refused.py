"""No space in the middle of a run: what failed is named, what is finished stays, and the run goes on later."""

from __future__ import annotations

import shutil

import pytest

from .conftest import Workflow
from .whole import whole_files


@pytest.mark.slow
def test_where_weights_no_longer_fit_the_run_says_so_and_goes_on_later(finished: Workflow, copied: Workflow) -> None:
    results, undisturbed = copied.folder / "results" / "tiny", finished.folder / "results" / "tiny"
    for folder in ("pretrain/toy_nuscenes/minkunet/ppkt", "tables"):
        shutil.rmtree(results / folder)
    weights = "pretrain/toy_nuscenes/minkunet/ppkt/seed0/backbone.safetensors"
    # Logs and Snakemake's own records are shorter.
    copied.longest_file = (undisturbed / weights).stat().st_size // 2
    output = copied.run("all_tables", fails=True)
    assert "cmcr pretrain: results/tiny/pretrain/toy_nuscenes/minkunet/ppkt/seed0/" in output
    assert "found:    File too large" in output
    assert "way out:  raise the limit on a file's size" in output
    assert copied.temporary_files() == []
    earlier = whole_files(results, undisturbed)
    assert "teacher/features/toy_nuscenes.npy" in earlier
    assert weights not in earlier
    copied.longest_file = None
    copied.run("all_tables")
    assert copied.outcome() == finished.outcome()
    assert whole_files(results, undisturbed) == whole_files(undisturbed, undisturbed)
