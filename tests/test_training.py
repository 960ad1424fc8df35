from __future__ import annotations

import csv
import logging
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from invented import feature_bank, invented_index, pretrain_job
from limits import files_up_to, small_disk
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from baselines.ppkt import PPKT
from cmcr.checkpoints import read_tensors
from cmcr.data.batches import Batch
from cmcr.errors import CMCRError, OutputError
from cmcr.files import exclusive
from cmcr.models.backbone import make_backbone
from cmcr.models.image_encoder import ImageEncoder
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.method import Channels, Step
from cmcr.pretrain.plugins import load_plugin
from cmcr.pretrain.run import PretrainModule, pretrain
from cmcr.recipe import Recipe
from cmcr.training import job_folder

#: 12 epochs of 3 steps, and a checkpoint after every second epoch, that is 6 steps.
JOB = pretrain_job(recipe=Recipe(epochs=12, batch_size=2, lr=3e-3, optimizer="adamw", schedule="one_cycle"))


class Killed(BaseException):
    """Nothing catches it on its way out, much like a signal."""


def run(folder: Path, job: PretrainJob = JOB) -> tuple[bytes, bytes]:
    """Pre-train; return the bytes of weights and log."""
    output = folder / "backbone.safetensors"
    pretrain(
        job,
        load_plugin("ppkt"),
        index=invented_index(5),
        encoder=None,
        feature_bank=feature_bank(5),
        folder=folder / "logs",
        output=output,
    )
    return output.read_bytes(), (folder / "logs" / "metrics.csv").read_bytes()


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the loss of ``step`` raise instead, once."""
    real = PretrainModule.losses

    def losses(self: PretrainModule, batch: Batch) -> dict[str, Tensor]:
        if self.global_step + 1 == step:
            monkeypatch.setattr(PretrainModule, "losses", real)
            raise Killed
        return real(self, batch)

    monkeypatch.setattr(PretrainModule, "losses", losses)


@pytest.fixture(autouse=True)
def checkpoint_every_second_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmcr.training_callbacks.CHECKPOINTS", JOB.recipe.epochs // 2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return run(tmp_path_factory.mktemp("undisturbed"))


# In the first epoch, in the middle of one, at the first step after a checkpoint, and twice.
@pytest.mark.parametrize("steps", [(2,), (11,), (13,), (8, 25)])
def test_a_killed_run_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[bytes, bytes], steps: tuple[int, ...]
) -> None:
    for step in steps:
        kill_at(monkeypatch, step)
        with pytest.raises(Killed):
            run(tmp_path)
        assert not (tmp_path / "backbone.safetensors").exists()
        assert len(list((tmp_path / "logs").glob("resume/*.ckpt"))) == (step > 6)
    assert run(tmp_path) == undisturbed
    assert not (tmp_path / "logs" / "resume").exists()


def test_a_long_run_writes_a_checkpoint_behind_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[bytes, bytes]
) -> None:
    monkeypatch.setattr("cmcr.training_callbacks.CHECKPOINT_AFTER_S", 0)
    kill_at(monkeypatch, 4)
    with pytest.raises(Killed):
        run(tmp_path)
    (checkpoint,) = (tmp_path / "logs").glob("resume/*.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 3
    assert run(tmp_path) == undisturbed


def test_killed_after_its_last_step_a_run_does_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[bytes, bytes]
) -> None:
    with monkeypatch.context() as context:
        context.setattr("cmcr.pretrain.run.save_backbone", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(tmp_path)
    monkeypatch.setattr(PretrainModule, "losses", lambda *_: pytest.fail("trained again"))
    assert run(tmp_path) == undisturbed


def test_sigkill(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; import test_training as t\n"
        "real = t.PretrainModule.losses\n"
        "def losses(self, batch):\n"
        "    if self.global_step == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, batch)\n"
        "t.PretrainModule.losses = losses\n"
        "t.run(Path(sys.argv[1]))\n"
    )
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(tests)], cwd=tests.parent, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert run(tmp_path) == undisturbed


# TensorBoard writes from a thread of its own, which ends by what its writer is told.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("limit", "file"), [(400, ""), (20_000, r"/resume/[0-9a-f]{16}\.ckpt")])
def test_where_logs_or_checkpoints_cannot_be_written_the_run_stops_and_goes_on_later(
    tmp_path: Path, undisturbed: tuple[bytes, bytes], limit: int, file: str
) -> None:
    with files_up_to(limit), pytest.raises(OutputError, match=rf"/logs{file}\n") as caught:
        run(tmp_path)
    assert "File too large" in str(caught.value)
    assert not list(tmp_path.rglob("*.part*"))
    assert run(tmp_path) == undisturbed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_stops_a_training_and_more_space_lets_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[bytes, bytes]
) -> None:
    kill_at(monkeypatch, 8)
    with pytest.raises(Killed):
        run(tmp_path / "measured")
    used = sum(path.stat().st_size for path in (tmp_path / "measured").rglob("*") if path.is_file())
    # Room for the first checkpoint, and not for a second one beside it.
    with small_disk(tmp_path / "disk", kilobytes=int(used * 1.5) // 1024) as disk:
        with pytest.raises(OutputError, match="No space left on device"):
            run(disk)
        kept = next(disk.glob("logs/resume/*.ckpt"))
        torch.load(kept, weights_only=True)
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert run(disk) == undisturbed


def test_a_checkpoint_of_another_job_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Recipe(epochs=4, batch_size=2)
    kill_at(monkeypatch, 8)
    with pytest.raises(Killed):
        run(tmp_path, pretrain_job(recipe=short))
    other = pretrain_job(seed=1, recipe=short)
    assert run(tmp_path, other) == run(tmp_path / "fresh", other)


def test_logs_hold_the_course_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kill_at(monkeypatch, 11)
    with pytest.raises(Killed):
        run(tmp_path)
    with (tmp_path / "logs" / "metrics.csv").open("a") as file:
        file.write("9")  # a line that the kill cut short, and whose beginning looks like an earlier step
    with caplog.at_level(logging.INFO):
        run(tmp_path)
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 37))
    assert [int(row["epoch"]) for row in rows] == [step // 3 for step in range(36)]
    assert float(rows[0]["lr"]) == pytest.approx(3e-3 / 25)
    assert max(float(row["lr"]) for row in rows) == pytest.approx(3e-3, rel=0.01)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    board = EventAccumulator(str(tmp_path / "logs"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == list(range(1, 37))
    assert board.Scalars("loss")[-1].value == pytest.approx(float(rows[-1]["loss"]), rel=1e-5)
    lines = [record.message for record in caplog.records if record.message.startswith("step ")]
    assert 15 <= len(lines) <= 40
    assert lines[-1].startswith("step 36/36  loss=")


@pytest.mark.parametrize("name", ["resume/*.ckpt", "metrics.csv"])
def test_a_run_that_goes_on_says_which_of_its_files_is_damaged_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[bytes, bytes], name: str
) -> None:
    kill_at(monkeypatch, 11)
    with pytest.raises(Killed):
        run(tmp_path)
    (damaged,) = (tmp_path / "logs").glob(name)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:300] + b"\xff" * 40 + content[340:])
    with pytest.raises(CMCRError, match=rf"{re.escape(str(damaged))}[\s\S]*delete it"):
        run(tmp_path)
    assert not (tmp_path / "backbone.safetensors").exists()
    damaged.unlink()
    assert run(tmp_path)[0] == undisturbed[0]


def test_a_second_process_waits_until_the_first_has_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cmcr.files import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    killer = threading.Timer(0.5, holder.kill)
    killer.start()
    with caplog.at_level(logging.INFO), exclusive(tmp_path):
        assert holder.wait(timeout=60) == -signal.SIGKILL
    assert f"waiting for another process that is at work in {tmp_path}" in caplog.text


def test_a_loss_that_is_not_finite_names_step_scans_and_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = PretrainModule.losses

    def losses(self: PretrainModule, batch: Batch) -> dict[str, Tensor]:
        found = real(self, batch)
        return found if self.global_step < 4 else found | {"second": found["info_nce"] * float("nan")}

    monkeypatch.setattr(PretrainModule, "losses", losses)
    with pytest.raises(
        CMCRError, match=r"nan at step 5 of 36 \(info_nce \d.*, second nan\)\n  scans:    scan\d, scan\d\n"
    ):
        run(tmp_path)
    assert not (tmp_path / "backbone.safetensors").exists()


def test_what_a_method_measures_is_logged_and_not_minimised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, real = pretrain_job(recipe=Recipe(epochs=1, batch_size=2, lr=3e-3)), PPKT.losses
    plain = run(tmp_path / "plain", job)[0]

    def losses(self: PPKT, step: Step) -> dict[str, Tensor]:
        step.log["pairs"] = torch.tensor(float(len(step.pairs)))
        return real(self, step)

    monkeypatch.setattr(PPKT, "losses", losses)
    weights, log = run(tmp_path / "measured", job)
    assert weights == plain
    rows = list(csv.DictReader(log.decode().splitlines()))
    assert list(rows[0]) == ["step", "epoch", "lr", "loss", "pairs"]
    assert all(float(row["pairs"]) > 50 for row in rows)


def test_a_job_folder_keeps_what_a_resume_needs_only_if_the_job_fails(tmp_path: Path) -> None:
    left = tmp_path / "variant" / "resume" / "some.ckpt"
    left.parent.mkdir(parents=True)
    left.touch()

    def fail() -> None:
        with job_folder(tmp_path):
            raise Killed

    with pytest.raises(Killed):
        fail()
    assert left.exists()
    with job_folder(tmp_path):
        pass
    assert not left.parent.exists()


def test_the_result_does_not_depend_on_loading_processes(tmp_path: Path) -> None:
    found = []
    for workers in (0, 1):
        run(tmp_path / str(workers), pretrain_job(recipe=Recipe(epochs=2, batch_size=2, lr=3e-3, workers=workers)))
        found.append(read_tensors(tmp_path / str(workers) / "backbone.safetensors"))
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_a_checkpoint_holds_the_statistics_and_not_the_encoder() -> None:
    plugin = load_plugin("ppkt")
    method = plugin(plugin.Options(), Channels(points=8, image=6))
    module = PretrainModule(make_backbone(JOB.backbone), method, ImageEncoder(), JOB, 36)
    assert {name.split(".")[0] for name in module.state_dict()} == {"backbone", "method"}
    assert any("running_mean" in name for name in module.state_dict())
