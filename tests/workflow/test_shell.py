"""Free text of a config, such as labels and paths, is never part of a shell command, whatever stands in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from skeleton import write_skeleton

from cmcr.commands.plan import load_plan
from cmcr.report.card import read_card

from .conftest import ROOT, Workflow
from .tiny import TINY

#: What a shell would act on if it saw it; in names of files, and with braces, which Snakemake acts on, elsewhere.
ODD = "a b; touch hacked $(touch hacked) `touch hacked` 'q' \"d\" & # | > x"
ODDER = f"{ODD} {{x}} {{params}} {{{{y}}}} $HOME \\ %s"
#: Unquoted, this is left of a command of ours.
PLAIN = re.compile(r"[\w\s./:=@%,+-]*")


def odd_config(folder: Path) -> dict[str, Any]:
    """Every kind of free text that a config has, odd."""
    odd = folder / ODD
    for name in ("plugins", "weights"):
        (odd / name).mkdir(parents=True)
    shutil.copy(ROOT / "baselines" / "ppkt.py", odd / "plugins" / "mine.py")
    plugin = odd / "plugins" / "mine.py"
    plugin.write_text(plugin.read_text().replace('"ppkt"', '"mine"'))
    (odd / "weights" / "published.pt").touch()
    (odd / "weights" / "teacher.pt").touch()
    description = (ROOT / "cmcr" / "data" / "label_maps" / "semantic_poss.yaml").read_text()
    (odd / "mine.yaml").write_text(f"{description}")
    config = {
        **TINY,
        "plugin_dirs": [str(odd / "plugins")],
        "teacher": {"kind": "resnet50", "weights": str(odd / "weights" / "teacher.pt")},
        "methods": {
            "scratch": {"label": ODDER},
            "mine": {"label": f"mine {ODDER}", "published_as": ODDER, "options": {"num_pairs": 64}},
            "varied": {"ablation_of": "mine", "label": f"varied {ODDER}"},
            "slidr": {},
            "published": {"weights": str(odd / "weights" / "published.pt")},
        },
        "datasets": {
            "toy_nuscenes": TINY["datasets"]["toy_nuscenes"],
            "nuscenes": {"root": str(odd / "data"), "version": ODD, "splits": {"train": ODDER, "validation": "val"}},
            "kitti": {
                "format": "semantic_kitti",
                "root": str(odd / "kitti"),
                "version": str(odd / "mine.yaml"),
                "splits": {"train": "train", "validation": "val"},
            },
            "waymo": {
                "format": "waymo",
                "root": str(odd / "segments"),
                "tfrecords": str(odd / "tfrecords"),
                "version": ODDER,
                "splits": {"train": "training", "validation": "validation"},
            },
        },
        "pretrain": {**TINY["pretrain"], "dataset": "nuscenes", "cache_image_features": False},
    }
    task = TINY["tasks"]["segmentation"]["toy_nuscenes"]
    config["tasks"] = {"segmentation": dict.fromkeys(("nuscenes", "kitti", "waymo"), task)}
    return config


def commands_in(output: str) -> list[str]:
    """The shell commands that ``snakemake --printshellcmds`` prints."""
    found = re.findall(r"^ *Shell command: ((?:.|\n(?!\n|rule |Job |\[))*)", output, re.MULTILINE)
    return [command.strip() for command in found]


def unquoted(command: str) -> str:
    """What of a command stands outside of quotes."""
    return re.sub(r"""'[^']*'|"'\"""", "", command)


@pytest.fixture
def odd(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", sys.executable)
    workflow.configure(odd_config(workflow.folder))
    monkeypatch.chdir(workflow.folder)
    plan = load_plan(workflow.folder / "config.yaml")
    write_skeleton(plan, workflow.folder)
    # The name of a segment is the data's, not the config's.
    shutil.copy(
        workflow.folder / ODD / "tfrecords" / "training" / "segment-1_with_camera_labels.tfrecord",
        workflow.folder / ODD / "tfrecords" / "training" / f"{ODD}.tfrecord",
    )
    return workflow


def test_every_command_of_a_run_is_quoted(odd: Workflow) -> None:
    commands = commands_in(odd.run("-n", "--printshellcmds", "all_tables", "all_figures", "report"))
    assert len(commands) > 30
    asked = {found[1] for command in commands if (found := re.search(r"-m cmcr ([\w-]+)", command))}
    assert asked >= {"index", "subset", "pretrain", "import-weights", "finetune", "diagnose", "tables", "figure"}
    assert asked >= {"segment-images", "draw-features", "draw-course", "published-table", "describe-run"}
    assert any("convert.py" in command for command in commands)
    assert sum("touch hacked" in command for command in commands) > 20
    for command in commands:
        bare = unquoted(command).replace("2>&1", "", 1).replace(">", "", 1)
        assert PLAIN.fullmatch(bare), f"{bare!r} in {command}"
    assert not list(odd.folder.rglob("hacked*"))


def test_a_command_gets_the_text_as_it_is(odd: Workflow) -> None:
    odd.run("results/tiny/run.json")
    card = read_card(odd.results / "run.json")
    assert card.labels["scratch"] == ODDER
    assert not list(odd.folder.rglob("hacked*"))


def test_a_file_in_the_working_folder_is_not_imported(workflow: Workflow) -> None:
    for name in ("json", "yaml", "torch", "cmcr", "numpy", "mine"):
        (workflow.folder / f"{name}.py").write_text("raise SystemExit('imported from the working folder')\n")
    # As it is started by its name: `python -m` would take what lies in the working folder itself.
    snakemake = Path(sys.executable).with_name("snakemake")
    if not snakemake.is_file():
        pytest.skip(f"there is no {snakemake}")
    command = [str(snakemake), *workflow.command("results/tiny/run.json")[3:]]
    environment = {**os.environ, "PATH": f"{snakemake.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=workflow.folder, env=environment, capture_output=True, text=True, check=False)
    assert "imported from" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert (workflow.results / "run.json").is_file()
