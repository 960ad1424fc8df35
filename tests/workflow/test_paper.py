"""The whole comparison on real data, as far as it can be planned without any."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from skeleton import write_skeleton

from cmcr.commands.plan import load_plan
from cmcr.costs import count_jobs

from .conftest import ROOT, Workflow


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    """The config in a folder without data; some interpreter stands for Waymo's."""
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", sys.executable)
    shutil.copy(ROOT / "config" / "paper.yaml", tmp_path / "config.yaml")
    return Workflow(tmp_path)


def test_without_data_one_message_names_all_that_is_missing_for_what_and_where_to_get_it(paper: Workflow) -> None:
    config = yaml.safe_load((paper.folder / "config.yaml").read_text())
    for arguments in (["-n"], ["all_tables"]):  # planned or run
        output = paper.run(*arguments, fails=True)
        assert output.count("what this run needs and does not find") == 1
        assert "Traceback" not in output
        for name, options in config["datasets"].items():
            key = "tfrecords" if "tfrecords" in options else "root"
            entry = rf"  {options[key]}: no such folder \(config key datasets\.{name}\.{key}\)\n"
            entry += r"    needed by: .*tables/segmentation.*\n    get it:    .*http"
            assert re.search(entry, output), name
        assert "(config key teacher.weights)" in output
        assert not (paper.folder / "results").exists()


def test_with_the_fewest_files_everything_is_planned_and_counted(
    paper: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(paper.folder)
    plan = load_plan(paper.folder / "config.yaml")
    write_skeleton(plan, paper.folder)
    output = paper.run("-n", "--quiet", "rules", "--", "all_tables")
    table = output.split("Job stats:")[1]
    planned = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}
    del planned["total"], planned["all_tables"]
    assert planned == count_jobs(plan)
    assert planned["finetune"] == len(list(plan.runs())) == 3 * 9 * 36
    assert planned["pretrain"] == 3 * 9
    assert planned["index_split"] == 2 * len(plan.config.datasets)
    assert planned["convert_waymo_segment"] == 2
