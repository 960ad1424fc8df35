from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from skeleton import write_skeleton

from cmcr.cli import main
from cmcr.commands.plan import load_plan

ROOT = Path(__file__).resolve().parents[2]
FOUR_GPUS = {"device": "cuda", "devices": 4}


def written(tmp_path: Path, name: str, **changes: Any) -> str:
    values = yaml.safe_load((ROOT / "config" / name).read_text())
    if name == "paper.yaml":  # the data set of pre-training is enough
        values["tasks"] = {"segmentation": {"nuscenes": values["tasks"]["segmentation"]["nuscenes"]}}
        values["datasets"] = {"nuscenes": values["datasets"]["nuscenes"]}
    path = tmp_path / name
    path.write_text(yaml.safe_dump({**values, **changes}))
    return str(path)


def test_what_a_run_on_real_data_misses_is_named_with_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = {"ppkt": {}, "released": {"weights": "gone.pt"}}
    assert main(["plan", "--config", written(tmp_path, "paper.yaml", methods=methods)]) == 1
    printed = capsys.readouterr()
    assert "28,130 scans of 700 scenes (the official split; no index yet)" in printed.out
    assert "GPU hours: unknown for 39 of 39 trainings" in printed.out
    assert "data/nuscenes: no such folder (config key datasets.nuscenes.root)" in printed.err
    assert "needed by: pre-training (and so every table), tables/segmentation" in printed.err
    assert "https://www.nuscenes.org" in printed.err
    assert "(config key teacher.weights)" in printed.err
    assert "gone.pt: no such file (config key methods.released.weights)" in printed.err
    assert "Traceback" not in printed.err


def test_nothing_is_missing_where_everything_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = written(tmp_path, "paper.yaml")
    write_skeleton(load_plan(Path(config)), tmp_path)
    assert main(["plan", "--config", config]) == 0
    assert capsys.readouterr().err == ""
    assert main(["plan", "--config", str(ROOT / "config" / "smoke.yaml")]) == 0


def test_times_of_a_user_become_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    times = tmp_path / "times.tsv"
    lines = ["kind\tmethod\tdevice\tsetting\tseconds", "pretrain\tppkt\tcuda\t*\t0.1"]
    lines += [f"{score}{kind}\t*\tcuda\t*\t0.36" for kind in ("linear_probe", "finetune") for score in ("", "score_")]
    times.write_text("\n".join(lines) + "\n")
    config = written(tmp_path, "paper.yaml", methods={"ppkt": {}}, seeds=[0])
    main(["plan", "--config", config, "--step-times", str(times)])
    printed = capsys.readouterr().out
    steps = 87950 + 1800 + 4400 + 8800 + 22000 + 87950
    hours = (351_650 * 0.1 + 0.36 * (steps + 6 * 6019)) / 3600
    assert f"GPU hours: about {hours:.1f} for 7 of 7 trainings, an estimate" in printed
    assert "unknown" not in printed
    # Four GPUs for the same time.
    main(["plan", "--config", written(tmp_path, "paper.yaml", methods={"ppkt": {}}, seeds=[0], compute=FOUR_GPUS),
          "--step-times", str(times)])  # fmt: skip
    assert f"GPU hours: about {4 * hours:.1f} for 7 of 7 trainings" in capsys.readouterr().out


def test_times_are_read_off_a_runs_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", str(tmp_path / "none"))  # without a toy Waymo, wherever it runs
    config = written(tmp_path, "smoke.yaml", methods={"ppkt": {}})
    assert main(["step-times", "--config", config, "--output", "times.tsv"]) == 1
    assert "at least two lines of progress" in capsys.readouterr().err
    log = tmp_path / "results" / "smoke" / "logs" / "pretrain" / "toy_nuscenes" / "minkunet" / "ppkt" / "seed0.log"
    log.parent.mkdir(parents=True)
    log.write_text("10:00:00 step 4/16  loss=1\n10:01:00 step 8/16  loss=1\n")
    assert main(["step-times", "--config", config, "--output", "times.tsv"]) == 0
    assert main(["plan", "--config", config, "--step-times", "times.tsv"]) == 0
    printed = capsys.readouterr().out
    # 16 steps of 15 s, of one training of those that the config has.
    assert re.search(r"hours, one job at a time: about 0\.1 for 1 of [67] trainings", printed)


def test_the_shipped_times_are_a_table_and_of_no_gpu() -> None:
    from cmcr.commands.plan import SHIPPED_TIMES
    from cmcr.step_times import StepTimes

    assert {time.device for time in StepTimes.load(SHIPPED_TIMES).times} == {"cpu"}


@pytest.mark.parametrize("text", [None, "- a list", "a: [1"])
def test_a_config_that_cannot_be_read_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "my.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["plan", "--config", str(path)]) == 1
    assert str(path) in capsys.readouterr().err
