"""No leave to write in the middle of a run: what failed is named, what is finished stays, and the run goes on later."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from limits import leave_free, make_read_only, make_writable, small_disk

from .conftest import Workflow
from .whole import whole_files

pytestmark = pytest.mark.slow

_PRETRAINED = "pretrain/toy_nuscenes/minkunet/ppkt"
_WEIGHTS = f"{_PRETRAINED}/seed0/backbone.safetensors"


@pytest.fixture
def halfway(copied: Workflow) -> Workflow:
    """A run that has a pre-training, what depends on it, and its tables before it."""
    for folder in (_PRETRAINED, "tables"):
        shutil.rmtree(copied.results / folder)
    return copied


@contextmanager
def results_on_a_disk_of_their_own(workflow: Workflow) -> Iterator[Path]:
    """Only the results: Snakemake keeps its own records beside them."""
    results, aside = workflow.folder / "results", workflow.folder / "aside"
    results.rename(aside)
    with small_disk(results, kilobytes=65_536) as disk:
        shutil.copytree(aside, disk, dirs_exist_ok=True)
        yield disk


def stopped(workflow: Workflow, finished: Workflow, *said: str) -> None:
    """The run fails and says why; what was there before is there, whole, and the weights are not."""
    output = workflow.run("all_tables", fails=True)
    for words in said:
        assert words in output
    assert workflow.temporary_files() == []
    earlier = whole_files(workflow.results, finished.results)
    assert "teacher/features/toy_nuscenes.npy" in earlier
    assert _WEIGHTS not in earlier


def goes_on(workflow: Workflow, finished: Workflow) -> None:
    results, undisturbed = (one.results for one in (workflow, finished))
    workflow.run("all_tables")
    assert workflow.outcome() == finished.outcome()
    assert whole_files(results, undisturbed) == whole_files(undisturbed, undisturbed)


def test_where_weights_no_longer_fit_the_run_says_so_and_goes_on_later(finished: Workflow, halfway: Workflow) -> None:
    # Logs and Snakemake's own records are shorter.
    halfway.longest_file = (finished.results / _WEIGHTS).stat().st_size // 2
    stopped(
        halfway,
        finished,
        f"cmcr pretrain: results/tiny/{_PRETRAINED}/seed0/",
        "found:    File too large\n",
        "way out:  raise the limit on a file's size",
    )
    halfway.longest_file = None
    goes_on(halfway, finished)


def test_where_the_disk_is_read_only_or_full_the_run_says_so_and_goes_on_later(
    finished: Workflow, halfway: Workflow
) -> None:
    with results_on_a_disk_of_their_own(halfway) as disk:
        make_read_only(disk)
        stopped(halfway, finished, "Write-protected output files", "affected files:\n        results/tiny/")
        make_writable(disk)
        leave_free(disk, kilobytes=40)  # for logs, not for a checkpoint
        stopped(
            halfway,
            finished,
            f"cmcr pretrain: results/tiny/{_PRETRAINED}/seed0/",
            "found:    No space left on device\n",
            "way out:  free space on that disk; the same command then goes on",
        )
        leave_free(disk, kilobytes=65_536)
        goes_on(halfway, finished)
