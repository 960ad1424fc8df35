"""Kills at any moment: nothing half-written stands under a final name, and the same command ends in the same bytes.

Three kills of the tiny run; with ``CMCR_TORTURE=1`` (`make torture`) 25 of the smoke run. Moments are seeded; what one
meets depends on the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from fuzz import TORTURE

from .conftest import Workflow
from .whole import whole_files

pytestmark = [pytest.mark.torture, pytest.mark.slow]

KILLS = 25 if TORTURE else 3
#: From the start of a command to its kill, in parts of the undisturbed run.
SHORTEST, LONGEST = (0.02, 0.12) if TORTURE else (0.1, 0.6)
_TARGETS = ("all_tables", "all_figures")


def whole(workflow: Workflow, finished: Workflow) -> list[str]:
    return whole_files(workflow.results, finished.results)


def ends_alike(workflow: Workflow, finished: Workflow) -> None:
    assert workflow.outcome() == finished.outcome()
    assert whole(workflow, finished) == whole(finished, finished)
    assert workflow.temporary_files() == []


@pytest.fixture
def left_alone(request: pytest.FixtureRequest) -> Workflow:
    """The run that the kills disturb, undisturbed."""
    return request.getfixturevalue("finished_smoke" if TORTURE else "finished")


def test_killed_at_random_moments_the_same_command_ends_alike(left_alone: Workflow, workflow: Workflow) -> None:
    workflow.configure(left_alone.config)
    rng = np.random.default_rng(20241208)
    killed, seen = 0, []
    while killed < KILLS:
        process = workflow.start(*_TARGETS, cores=4)  # the undisturbed run had two
        try:
            output, _ = process.communicate(timeout=left_alone.seconds * rng.uniform(SHORTEST, LONGEST))
        except subprocess.TimeoutExpired:
            workflow.kill(process)
            killed += 1
            seen.append(len(whole(workflow, left_alone)))
            continue
        # It came to its end before it could be killed: once more from nothing.
        assert process.returncode == 0, output[-4000:]
        ends_alike(workflow, left_alone)
        shutil.rmtree(workflow.folder / "results")
        shutil.rmtree(workflow.folder / ".snakemake")
    workflow.run(*_TARGETS, cores=4)
    ends_alike(workflow, left_alone)
    assert max(seen) > 0, "every kill came before the first file"


def kill_when_there(workflow: Workflow, folder: str, pattern: str) -> Path:
    """Start the run and kill it as soon as ``folder`` has a file of that name; return the file."""
    process = workflow.start(*_TARGETS)
    deadline = time.monotonic() + 600
    while True:
        there = next((workflow.results / folder).glob(pattern), None)
        if there:
            workflow.kill(process)
            return there
        assert process.poll() is None, f"the run ended before {folder}/{pattern} was seen"
        assert time.monotonic() < deadline, f"{folder}/{pattern} never came"
        time.sleep(0.01)


def test_killed_within_a_job_the_same_command_goes_on_from_its_checkpoint(
    finished: Workflow, workflow: Workflow
) -> None:
    results = workflow.results
    # While the city is built: as soon as its log appears, the job is under way.
    kill_when_there(workflow, "logs/data/toy_nuscenes", "scene-0061.log")
    whole(workflow, finished)
    goes_on = []
    for job, output in (
        ("pretrain/toy_nuscenes/minkunet/ppkt/seed0", "backbone.safetensors"),
        ("finetune/toy_nuscenes/segmentation/toy_nuscenes/ppkt/finetune/50pct/seed0", "scores.json"),
    ):
        checkpoint = kill_when_there(workflow, job, "resume/[!.]*.ckpt")
        whole(workflow, finished)
        if checkpoint.exists() and not (results / job / output).exists():  # else its end came before the signal
            goes_on.append(job)
    workflow.run(*_TARGETS)
    ends_alike(workflow, finished)
    assert goes_on
    for job in goes_on:
        log = (results / "logs" / f"{job}.log").read_text()
        assert "resuming from" in log, log
