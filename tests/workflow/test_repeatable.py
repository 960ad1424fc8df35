"""The same config gives the same bytes, wherever and however it is run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, Workflow


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
    table = workflow.folder / "results" / "tiny" / "tables" / "segmentation.csv"
    assert stat.S_IMODE(table.stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.skipif(not os.environ.get("CMCR_TORTURE"), reason="three whole smoke runs: make torture")
def test_the_smoke_run_gives_the_same_bytes_with_1_2_and_4_cores(tmp_path: Path) -> None:
    outcomes = []
    for cores in (1, 2, 4):
        (tmp_path / str(cores)).mkdir()
        one = Workflow(tmp_path / str(cores))
        one.configure(yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text()))
        one.run("all_tables", "all_figures", cores=cores)
        outcomes.append(one.outcome())
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert any(name.endswith("scores.json") for name in outcomes[0])
