from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from cmcr.commands.plan import load_plan
from cmcr.costs import count_jobs

from .conftest import ROOT, Workflow
from .tiny import TINY


def smoke() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())


@pytest.mark.parametrize("config", [TINY, smoke(), {**TINY, "diagnostics": None}], ids=["tiny", "smoke", "undiagnosed"])
def test_the_jobs_that_are_counted_are_those_that_snakemake_plans(workflow: Workflow, config: dict[str, Any]) -> None:
    workflow.configure(copy.deepcopy(config))
    table = workflow.run("-n", "all_tables").split("Job stats:")[1]
    planned = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}
    del planned["total"], planned["all_tables"]
    assert count_jobs(load_plan(workflow.folder / "config.yaml")) == planned
