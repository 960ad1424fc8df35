"""Trainings on two devices, here of the CPU, through the commands that a workflow calls."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from invented import TINY, VOXELS, finetune_job, pretrain_job

from cmcr import processes
from cmcr.checkpoints import read_tensors
from cmcr.compute import ComputeOptions
from cmcr.data.nuscenes_index import make_index
from cmcr.errors import CMCRError
from cmcr.models.backbone import load_backbone, make_backbone
from cmcr.processes import end, is_of_another, lead, mean_over_processes, rank
from cmcr.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
#: 4 epochs of 3 steps, with a checkpoint behind each. The scans of a batch are as many as the processes.
RECIPE = Recipe(epochs=4, batch_size=2, lr=0.02, optimizer="sgd")


@pytest.fixture(scope="module")
def indexes(toy_nuscenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the indexes ``train.jsonl``, of six scans, and ``validation.jsonl``."""
    folder = tmp_path_factory.mktemp("indexes")
    for name, split in (("train", "mini_train"), ("validation", "mini_val")):
        make_index("toy", toy_nuscenes, "v1.0-mini", split).save(folder / f"{name}.jsonl")
    return folder


def call(*arguments: object, bad_end: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as a rule of the workflow does."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    # What others may have set for their own processes.
    environment |= {"CMCR_TEST_END": bad_end, "LOCAL_RANK": "3", "MASTER_PORT": "1", "SLURM_NTASKS": "2"}
    command = [sys.executable, "-m", "cmcr", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def pretrain(indexes: Path, folder: Path, devices: int, bad_end: str = "") -> subprocess.CompletedProcess[str]:
    job = pretrain_job(method="per_scan", options={}, recipe=RECIPE, compute=ComputeOptions(devices=devices))
    where = ("--folder", folder / "logs", "--output", folder / "backbone.safetensors")
    plugin = ("--plugin", ROOT / "tests" / "per_scan.py", "--index", indexes / "train.jsonl")
    return call("pretrain", "--job", job.model_dump_json(), *plugin, *where, bad_end=bad_end)


@pytest.fixture(scope="module")
def two(indexes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave that nobody disturbs."""
    folder = tmp_path_factory.mktemp("two")
    done = pretrain(indexes, folder, devices=2)
    assert done.returncode == 0, done.stderr
    (folder / "stderr").write_text(done.stderr)
    return folder


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_batches(indexes: Path, two: Path, tmp_path: Path) -> None:
    done = pretrain(indexes, tmp_path, devices=1)
    assert done.returncode == 0, done.stderr
    # Exact but for rounding, because the loss is a mean over scans and each process has as many.
    first = make_backbone(TINY, VOXELS).state_dict()
    for name in ("backbone.safetensors", "logs/method.safetensors"):
        one, both = read_tensors(tmp_path / name), read_tensors(two / name)
        assert list(one) == list(both)
        for key, expected in one.items():
            difference = torch.linalg.vector_norm((both[key] - expected).double())
            assert difference <= 1e-5 * torch.linalg.vector_norm(expected.double()), key
    moved = read_tensors(two / "backbone.safetensors")
    assert all((moved[key] - first[key]).abs().max() > 1e-4 for key in first if key.endswith("running_mean"))
    courses = []
    for folder in (tmp_path, two):
        with (folder / "logs" / "metrics.csv").open() as file:
            courses.append(list(csv.DictReader(file)))
    assert [int(row["step"]) for row in courses[1]] == list(range(1, 13))
    for of_one, of_two in zip(*courses, strict=True):
        assert float(of_two["loss"]) == pytest.approx(float(of_one["loss"]), rel=1e-4)
        assert float(of_two["voxels"]) == float(of_one["voxels"]) / 2  # the mean over the processes


@pytest.mark.slow
def test_everything_is_written_and_said_once(two: Path) -> None:
    files = sorted(re.sub(r"tfevents.*", "tfevents", path.name) for path in two.rglob("*") if path.is_file())
    assert files == [
        ".lock", "backbone.safetensors", "events.out.tfevents", "method.safetensors", "metrics.csv", "stderr"
    ]  # fmt: skip
    load_backbone(two / "backbone.safetensors", TINY, VOXELS)
    said = [re.sub(r"^[\d:]+ |  .*", "", line) for line in (two / "stderr").read_text().splitlines()]
    assert said == [*(f"step {step}/12" for step in range(1, 13)), f"wrote {two / 'backbone.safetensors'}"]


@pytest.mark.slow
def test_a_bad_end_of_one_is_the_end_of_all_and_the_same_command_goes_on(
    indexes: Path, two: Path, tmp_path: Path
) -> None:
    kept = set()
    for bad_end, code, said in (
        ("1 4 error", 1, "a bad end\ncmcr pretrain: .*another one of this run's 2 processes has ended"),
        ("0 5 SIGKILL", -signal.SIGKILL, ""),
        ("1 2 SIGTERM", 1, "stopped by SIGTERM\n  way out:  the same command goes on from here\n$"),
    ):
        done = pretrain(indexes, tmp_path, devices=2, bad_end=bad_end)
        assert done.returncode == code, (bad_end, done.stderr)
        assert re.search(said, done.stderr), (bad_end, done.stderr)
        assert "Traceback" not in done.stderr
        assert not list(tmp_path.rglob("*.safetensors"))
        assert not list(tmp_path.rglob("*.part*"))
        (checkpoint,) = tmp_path.glob("logs/resume/*.ckpt")
        kept.add((checkpoint.name, torch.load(checkpoint, weights_only=True)["global_step"]))
    assert len(kept) == 2  # after step 3, then 6
    done = pretrain(indexes, tmp_path, devices=2)
    assert done.returncode == 0, done.stderr
    for name in ("backbone.safetensors", "logs/method.safetensors", "logs/metrics.csv"):
        assert (tmp_path / name).read_bytes() == (two / name).read_bytes(), name
    assert not (tmp_path / "logs" / "resume").exists()


@pytest.mark.slow
def test_a_linear_probe_trains_both_variants_on_two_and_scores_on_one(indexes: Path, two: Path, tmp_path: Path) -> None:
    job = finetune_job(
        dataset="toy",
        pretrain_dataset="toy",
        method="per_scan",
        protocol="linear_probe",
        label_percent=100,
        recipe=Recipe(epochs=1, batch_size=2, lr=1e-2),
        augmentation=None,
        batch_norm=("stored", "recalibrated"),
        compute=ComputeOptions(devices=2),
    )
    percent = ("--percent", 100, "--rule", "scan", "--output", tmp_path / "subset.txt")
    assert call("subset", "--index", indexes / "train.jsonl", *percent).returncode == 0
    outputs = {"folder": "logs", "model": "model.safetensors", "scores": "scores.json", "frames": "frames.safetensors"}
    done = call(
        *("finetune", "--job", job.model_dump_json(), "--weights", two / "backbone.safetensors"),
        *("--train-index", indexes / "train.jsonl", "--subset", tmp_path / "subset.txt"),
        *("--validation-index", indexes / "validation.jsonl"),
        *(part for name, file in outputs.items() for part in (f"--{name}", tmp_path / file)),
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads((tmp_path / "scores.json").read_text())["variants"]) == {"stored", "recalibrated"}
    for variant in ("stored", "recalibrated"):
        with (tmp_path / "logs" / variant / "metrics.csv").open() as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert len(re.findall(" -> ", done.stderr)) == 1


def test_alone_a_process_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")  # of somebody else's
    assert rank() == 0
    monkeypatch.setenv("CMCR_FIRST_PROCESS", "1")
    assert rank() == 3
    with pytest.raises(SystemExit) as ended:
        end("why")
    assert ended.value.code == 1
    monkeypatch.delenv("CMCR_FIRST_PROCESS")
    with pytest.raises(CMCRError, match="why"):
        end("why")


def test_the_first_takes_what_others_left_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CMCR_FIRST_PROCESS", "")
    monkeypatch.delenv("CMCR_FIRST_PROCESS")
    lead(threads=2)
    assert rank() == 0
    assert os.environ["CMCR_FIRST_PROCESS"] == str(os.getpid())
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "LOCAL_RANK" not in os.environ
    assert "MASTER_PORT" not in os.environ


def test_what_is_logged_is_summed_on_the_device_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method may count on the CPU, where NCCL sums nothing; ``meta`` stands for a GPU."""
    summed: list[torch.Tensor] = []
    monkeypatch.setattr(processes, "_are_several", lambda: True)

    def summed_over_processes(x: torch.Tensor) -> torch.Tensor:
        summed.append(x)
        return x

    monkeypatch.setattr(processes, "summed_over_processes", summed_over_processes)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    device = torch.device("meta")
    mean_over_processes({"loss": torch.zeros((), device=device), "points": torch.tensor(3.0)}, device)
    assert [x.device for x in summed] == [device]


def test_a_lost_connection_is_told_from_an_error_of_ones_own() -> None:
    assert is_of_another(RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed"))
    assert is_of_another(torch.distributed.DistBackendError("NCCL"))
    assert not is_of_another(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_of_another(ValueError("gloo"))
