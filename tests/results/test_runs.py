from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from invented import finetune_job

from cmcr.checkpoints import save_tensors
from cmcr.cli import main
from cmcr.errors import ScoresError, WeightsError
from cmcr.files import sha256_of_json, write_json
from cmcr.results.runs import differences, find_runs, open_run, score_pairs
from cmcr.results.scores import Metric, Scores, write_scores

from .conftest import PROVENANCE


def put(root: Path, scores: Scores) -> Path:
    """Write a run where the workflow would."""
    place = [scores.dataset, scores.task, scores.pretrain_dataset, scores.method, scores.protocol]
    folder = root.joinpath("finetune", *place, f"{scores.label_percent:g}pct", f"seed{scores.seed}")
    write_scores(folder / "scores.json", scores)
    return folder


@pytest.fixture
def root(tmp_path: Path, runs: dict[str, Scores]) -> Path:
    """Three methods, three settings, three seeds."""
    for scores in runs.values():
        put(tmp_path / "results" / "r", scores)
    return tmp_path / "results" / "r"


def differing(first: Path, second: Path) -> set[tuple[str, str, str, str]]:
    return {(d.group, d.name, d.first, d.second) for d in differences(open_run(first), open_run(second))}


def test_runs_are_found_and_filtered(root: Path) -> None:
    assert len(find_runs(root)) == 27
    some = find_runs(root, method=["ppkt", "cmcr"], protocol=["finetune"], label_percent=[1.0], seed=[0, 2])
    assert [(run.scores.method, run.scores.seed) for run in some] == [("cmcr", 0), ("cmcr", 2), ("ppkt", 0), ("ppkt", 2)]
    with pytest.raises(ScoresError, match="expected: seed 7\n  found:    seed 0 or 1 or 2"):
        find_runs(root, seed=[7])
    with pytest.raises(ScoresError, match=r"expected: scores.json somewhere below\n  found:    none"):
        find_runs(root / "nowhere")


def test_two_seeds_are_told_apart_and_nothing_else_is(root: Path) -> None:
    folder = root / "finetune/town/segmentation/town/ppkt/finetune/10pct"
    assert differing(folder / "seed0", folder / "seed1") == {("run", "seed", "0", "1")}
    assert differing(folder / "seed0", folder / "seed0" / "scores.json") == set()
    pairs = score_pairs(open_run(folder / "seed0"), open_run(folder / "seed1"))
    assert [(p.metric, p.class_name, p.first, p.second) for p in pairs][:2] == [
        ("miou", "all", 30.0, 31.0),
        ("fwiou", "all", 31.0, 32.0),
    ]


def test_what_differs_is_named_by_its_kind(tmp_path: Path, make_run: Callable[..., Scores]) -> None:
    hardware = PROVENANCE.hardware.model_copy(update={"cores": 8})
    changed = {"data_checksum": "beet", "git_commit": "4567", "packages": {"torch": "2.14.0", "more": "1"}}
    provenance = PROVENANCE.model_copy(update={**changed, "config_hash": "tea", "hardware": hardware})
    first = put(tmp_path / "a", make_run())
    second = put(tmp_path / "b", make_run(provenance=provenance, label_scans=5))
    assert differing(first, second) == {
        ("config", "config_hash", "c0ffee", "tea"),
        ("data", "label_scans", "4", "5"),
        ("data", "data_checksum", "beef", "beet"),
        ("code", "git_commit", "0123abcd", "4567"),
        ("versions", "torch", "2.13.0", "2.14.0"),
        ("versions", "more", "-", "1"),
        ("machine", "cores", "2", "8"),
    }


def test_options_that_differ_come_from_the_models_and_backbones(
    tmp_path: Path, make_run: Callable[..., Scores]
) -> None:
    for name, lr, channels in (("a", 1e-2, 8), ("b", 2e-2, 16)):
        folder = put(tmp_path / name, make_run())
        job = finetune_job()
        job = job.model_copy(update={"recipe": job.recipe.model_copy(update={"lr": lr})})
        save_tensors(folder / "model.safetensors", {"w": torch.zeros(1)}, {"job": job.model_dump_json()})
        method = tmp_path / name / "pretrain" / "town" / "minkunet" / "ppkt" / "seed0" / "method.safetensors"
        save_tensors(method, {"w": torch.zeros(1)}, {"plugin": "ppkt", "options": json.dumps({"channels": channels})})
    runs = [next((tmp_path / name).rglob("scores.json")) for name in "ab"]
    assert differing(*runs) == {
        ("config", "recipe.lr", "0.01", "0.02"),
        ("pre-training", "options.channels", "8", "16"),
    }


@pytest.mark.parametrize("record", ["[1]", "no JSON"])
def test_the_record_of_a_job_that_holds_no_options_is_refused(
    tmp_path: Path, make_run: Callable[..., Scores], record: str
) -> None:
    folder = put(tmp_path, make_run())
    save_tensors(folder / "model.safetensors", {"w": torch.zeros(1)}, {"job": record})
    with pytest.raises(WeightsError, match=r"model\.safetensors: the record of its job is no JSON of options"):
        open_run(folder / "scores.json").job()


def edited(path: Path, change: Callable[[dict[str, Any]], Any], checksum: bool = False) -> None:
    content = json.loads(path.read_text())
    change(content)
    if checksum:
        content.pop("checksum")
        content["checksum"] = sha256_of_json(content)
    write_json(path, content)


@pytest.mark.parametrize("question", ["list", "show", "compare", "export"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: edited(path, lambda c: c["metrics"][0].update(value=99.0)), "edited after the run"),
        (lambda path: edited(path, lambda c: c.pop("method"), True), "method: Field required"),
        (lambda path: edited(path, lambda c: c.update(schema_version=2), True), "schema_version 1"),
        (lambda path: path.write_text(path.read_text().replace("30.0", "NaN")), "NaN is not a score"),
        (lambda path: path.write_text(path.read_text()[:100]), "not a JSON file"),
    ],
)
def test_a_damaged_file_is_refused_with_its_path(
    root: Path, question: str, damage: Callable[[Path], Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = root / "finetune/town/segmentation/town/ppkt/finetune/10pct/seed1/scores.json"
    path = root / "finetune/town/segmentation/town/ppkt/finetune/10pct/seed0/scores.json"
    damage(path)
    asked = {"compare": [str(whole), str(path)], "show": [str(path)]}.get(question, [str(root)])
    assert main(["results", question, *asked]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("cmcr results: ")
    assert str(path) in printed.err
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_list_and_show_on_the_command_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "list", str(root), "--method", "cmcr", "--percent", "1", "--seed", "1"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["task", "data", "set"]
    for text in ("town (toy)", "cmcr", "finetune", "1 %", "miou 36.00", "1pct/seed1/scores.json"):
        assert text in line
    assert main(["results", "show", line.split()[-1]]) == 0
    shown = capsys.readouterr().out
    for text in ("config_hash", "c0ffee", "torch  2.13.0", "some processor", "fwiou"):
        assert text in shown


def test_compare_on_the_command_line(
    root: Path, make_run: Callable[..., Scores], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "finetune/town/segmentation/town/ppkt/finetune/10pct"
    assert main(["results", "compare", str(folder / "seed1"), str(folder / "seed0")]) == 0
    shown = capsys.readouterr().out
    assert "seed  1  ->  0" in shown
    assert "-1.00 (worse)" in shown
    assert "road" not in shown
    assert main(["results", "compare", str(folder / "seed1"), str(folder / "seed1"), "--classes"]) == 0
    shown = capsys.readouterr().out
    assert "do not differ" in shown
    assert "road" in shown
    # Lower may be better, and a number may be missing.
    for seed, value in ((0, 2.0), (1, 1.0)):
        metrics = [
            Metric(metric="error", class_name="all", value=value, higher_is_better=False),
            Metric(metric="miou", class_name="all", value=None, higher_is_better=True, reason="it diverged"),
        ]
        put(root, make_run(dataset="errors", seed=seed, metrics=metrics))
    folder = root / "finetune/errors/segmentation/town/ppkt/finetune/10pct"
    assert main(["results", "compare", str(folder / "seed0"), str(folder / "seed1")]) == 0
    shown = capsys.readouterr().out
    assert "-1.00 (better)" in shown
    assert [line.split() for line in shown.splitlines() if "miou" in line] == [["miou", "all", "n/a", "n/a", "n/a"]]


def test_export_on_the_command_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["results", "export", str(root), "--method", "ppkt", "--protocol", "linear_probe"]
    assert main(arguments) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 * 4
    assert {row["method"] for row in rows} == {"ppkt"}
    assert main([*arguments, "--output", str(tmp_path / "runs.csv")]) == 0
    with (tmp_path / "runs.csv").open() as file:
        assert list(csv.DictReader(file)) == rows
    assert main([*arguments, "--output", str(tmp_path / "runs.json")]) == 0
    records = json.loads((tmp_path / "runs.json").read_text())
    assert [record["seed"] for record in records] == [0, 1, 2]
    assert records[0]["provenance"]["hardware"]["cores"] == 2
    assert records[0]["metrics"][2]["class"] == "car"
    assert main([*arguments, "--output", str(tmp_path / "runs.xlsx")]) == 1
    assert "ends in .csv or .json" in capsys.readouterr().err
