"""The same config gives the same bytes, wherever and however it is run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from fuzz import TORTURE

from .conftest import Workflow, run_undisturbed


@pytest.mark.slow
def test_another_machine_gives_the_same_bytes(
    finished: Workflow, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One core, another folder, other hashes of strings, another order of every folder's files, another time zone, no
    # locale, an encoding in which no letter beyond ASCII can be said, and rights for the owner alone.
    disorder = Path(__file__).with_name("disorder")
    for name, value in {
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": os.pathsep.join([str(disorder), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TZ": "Pacific/Chatham",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }.items():
        monkeypatch.setenv(name, value)
    umask = os.umask(0o077)
    try:
        workflow.run("all_tables", "all_figures", cores=1)
    finally:
        os.umask(umask)
    assert workflow.outcome() == finished.outcome()
    table = workflow.results / "tables" / "segmentation.csv"
    assert stat.S_IMODE(table.stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.skipif(not TORTURE, reason="three whole smoke runs: make torture")
@pytest.mark.parametrize("cores", [1, 4])
def test_the_smoke_run_gives_the_same_bytes_with_1_2_and_4_cores(
    finished_smoke: Workflow, tmp_path: Path, cores: int
) -> None:
    workflow = run_undisturbed(tmp_path, finished_smoke.config, cores)
    assert workflow.outcome() == finished_smoke.outcome()
    assert any(name.endswith("scores.json") for name in workflow.outcome())
