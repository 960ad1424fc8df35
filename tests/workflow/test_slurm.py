from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, Workflow
from .slurm import Slurm, missing_programs, running_slurm

PROFILE = ROOT / "profiles" / "slurm"

#: Looks at the queue more often than is polite on a shared cluster.
IMPATIENT = ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
#: What takes longer hangs; a run on a machine that does other work beside takes five minutes.
HANGS_S = 1200


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    if missing := missing_programs():
        pytest.skip(f"no SLURM here ({', '.join(missing)} not found): apt-get install slurm-wlm munge")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("no executor for SLURM here: pip install --no-deps -r requirements-slurm.lock")
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons are started as root, and this is another user")
    with running_slurm() as started:
        yield started


def submit(workflow: Workflow, slurm: Slurm, *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake with the profile; its output goes to a file, so that nothing waits for a reader."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", str(PROFILE)]
    environment = slurm.environment
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (workflow.folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            [*command, "--configfile", "config.yaml", *IMPATIENT, *arguments],
            cwd=workflow.folder,
            env=environment,
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def output_of(workflow: Workflow) -> str:
    return (workflow.folder / "output.txt").read_text()


def wait_for(what: str, condition: Callable[[], bool], process: subprocess.Popen[str], workflow: Workflow) -> None:
    deadline = time.monotonic() + HANGS_S
    while not condition():
        assert process.poll() is None, f"the run ended before {what}\n{output_of(workflow)[-4000:]}"
        assert time.monotonic() < deadline, f"{what}: never\n{output_of(workflow)[-4000:]}"
        time.sleep(0.05)


def job_of(slurm: Slurm, comment: str) -> str:
    (found,) = [number for number, text in slurm.jobs("RUNNING").items() if comment in text]
    return found


@pytest.mark.slow
def test_a_run_on_slurm_with_a_killed_and_a_requeued_job_ends_as_on_one_machine(
    finished: Workflow, workflow: Workflow, slurm: Slurm
) -> None:
    results = workflow.results
    process = submit(workflow, slurm, "all_tables")

    # Of the first two jobs, this one is not waited for by much.
    wait_for("a job", lambda: any("scratch" in job for job in slurm.jobs("RUNNING").values()), process, workflow)
    slurm.call("scontrol", "requeue", (requeued := job_of(slurm, "scratch")))

    course = results / "pretrain" / "toy_nuscenes" / "minkunet" / "ppkt" / "seed0" / "metrics.csv"
    wait_for("pre-training", course.exists, process, workflow)
    slurm.call("scancel", (killed := job_of(slurm, "pretrain_wildcards_toy_nuscenes_minkunet_ppkt")))

    assert process.wait(timeout=HANGS_S) == 0, output_of(workflow)[-4000:]
    output = output_of(workflow)
    assert f"SLURM-job '{killed}' failed, SLURM status is: 'CANCELLED'" in output
    assert f"SLURM-job '{requeued}' failed" not in output
    assert "Restarts=1" in slurm.call("scontrol", "show", "job", requeued)
    assert workflow.outcome() == finished.outcome()
    assert workflow.temporary_files() == []
    # Run by whom it may, what is finished is finished: neither profile has anything left to do.
    assert "Nothing to be done" in workflow.run("-n", "all_tables")


@pytest.mark.slow
def test_a_group_of_gpu_jobs_asks_for_one_gpu_and_for_the_time_of_all(tmp_path: Path, slurm: Slurm) -> None:
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    input: expand('{i}.txt', i=range(3))\n"
        "rule train:\n    output: '{i}.txt'\n    group: 'short_finetune'\n    threads: 2\n"
        "    resources: gpu=1, mem_mb=1000, runtime=10\n"
        "    shell: 'date +%s.%N > {output}; sleep 0.5; date +%s.%N >> {output}'\n"
    )
    workflow = Workflow(tmp_path)
    workflow.configure({})
    process = submit(workflow, slurm, "--snakefile", str(tmp_path / "Snakefile"))
    assert process.wait(timeout=HANGS_S) == 0, output_of(workflow)[-4000:]
    (job,) = slurm.jobs()
    asked = slurm.call("scontrol", "show", "job", job)
    for part in ("TresPerJob=gres:gpu:1", "TimeLimit=00:30:00", "MinMemoryNode=1000M", "CPUs/Task=2", "Requeue=1"):
        assert part in asked
    spans = sorted(tuple(map(float, (tmp_path / f"{i}.txt").read_text().split())) for i in range(3))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize("name", ["groups", "group-components"])
def test_the_profile_names_rules_and_groups_that_exist(name: str) -> None:
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    rules = {
        rule
        for file in (ROOT / "workflow" / "rules").glob("*.smk")
        for rule in re.findall(r"^rule (\w+):", file.read_text(), re.M)
    }
    groups = {entry.split("=")[1] for entry in profile["groups"]} | {"short_finetune"}
    named = {entry.split("=")[0] for entry in profile[name]}
    assert named <= (rules if name == "groups" else groups)


def test_what_a_job_asks_for_is_no_reason_to_run_it_again() -> None:
    from snakemake.settings.enums import RerunTrigger

    assert "resources" not in {trigger.name.lower() for trigger in RerunTrigger.all()}
