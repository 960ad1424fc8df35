"""The commands that meet what `damage` has changed, run within bounds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from damage_tools import ROOT, Answer, Command, Damage
from limits import in_time

#: A command may not take longer, in seconds of its own work, nor wait longer, in seconds of the clock. Alone they take
#: a second or two; on a busy machine, and with the collector of a process that thousands of tests have filled, several
#: times as long. What these bounds are for never ends, or takes hours.
MOST_WORK_S, MOST_WAIT_S = 60.0, 300
#: What a command may take in memory over what it takes to start, where the input claims to be huge.
HEADROOM_BYTES = 768 * 2**20

#: What a training may leave behind: its lock, and TensorBoard's log.
LOGS = (".lock", "events.out.tfevents.")


def index(format: str, version: str, split: str) -> Command:
    def command(folder: Path, out: Path) -> list[str]:
        place = ["--dataset", "d", "--format", format, "--root", str(folder), "--version", version, "--split", split]
        return ["index", *place, "--output", str(out / "index.jsonl")]

    return command


def check(format: str, version: str, split: str) -> Command:
    def command(folder: Path, out: Path) -> list[str]:  # noqa: ARG001
        place = ["--dataset", "d", "--format", format, "--root", str(folder), "--version", version, "--split", split]
        return ["check-data", *place, "--processes", "1"]

    return command


def described(folder: Path, out: Path) -> list[str]:
    return index("semantic_kitti", str(folder / "mine.yaml"), "train")(folder, out)


def import_weights(file: str) -> Command:
    return lambda folder, out: ["import-weights", str(folder / file), "--output", str(out / "backbone.safetensors")]


def export_weights(file: str) -> Command:
    return lambda folder, out: ["export-weights", str(folder / file), "--output", str(out / "weights.safetensors")]


def plan(folder: Path, out: Path) -> list[str]:  # noqa: ARG001
    return ["plan", "--config", str(folder / "config.yaml")]


def collect(folder: Path, out: Path) -> list[str]:
    return ["collect", "--output", str(out / "scores.tsv"), str(folder / "scores.json")]


def tables(folder: Path, out: Path) -> list[str]:
    labels = json.dumps({"scratch": "Scratch"})
    where = ["--scores", str(folder / "scores.tsv"), "--folder", str(out)]
    return ["tables", *where, "--task", "segmentation", "--labels", labels]


def gains(folder: Path, out: Path) -> list[str]:
    labels = json.dumps({"scratch": "Scratch", "ppkt": "PPKT"})
    where = ["--folder", str(out), "--figures", str(out), str(folder / "frames.safetensors")]
    return ["gains-table", "--baseline", "scratch", "--labels", labels, *where]


def published(folder: Path, out: Path) -> list[str]:
    names = ("names", "lineages", "splits", "gaps")
    files = [part for name in names for part in (f"--{name}", str(folder / f"{name}.csv"))]
    methods = json.dumps({"scratch": {"label": "Scratch", "published_as": None, "teacher": "none"}})
    where = ["--scores", str(folder / "scores.tsv"), *files, "--methods", methods]
    networks = json.dumps({"segmentation": "minkunet"})
    return ["published-table", *where, "--networks", networks, "--folder", str(out), str(folder / "published.csv")]


def draw_course(folder: Path, out: Path) -> list[str]:
    labels = json.dumps({"ppkt": "PPKT"})
    what = ["draw-course", "losses", "--method", "ppkt", "--dataset", "d", "--labels", labels]
    return [*what, "--folder", str(out), str(folder / "backbone.safetensors")]


def step_times(folder: Path, out: Path) -> list[str]:
    return [*plan(folder, out), "--step-times", str(folder / "step_times.tsv")]


def subset(folder: Path, out: Path) -> list[str]:
    rest = ["--percent", "50", "--rule", "scan", "--output", str(out / "subset.txt")]
    return ["subset", "--index", str(folder / "index.jsonl"), *rest]


def finetune(folder: Path, out: Path) -> list[str]:
    from invented import finetune_job

    indices = ["--train-index", str(folder / "index.jsonl"), "--validation-index", str(folder / "index.jsonl")]
    outputs = ["--folder", "logs", "--model", "model.safetensors", "--scores", "scores.json", "--frames", "frames"]
    outputs = [part if part.startswith("--") else str(out / part) for part in outputs]
    given = ["--weights", str(folder / "backbone.safetensors"), "--subset", str(folder / "subset.txt")]
    return ["finetune", "--job", finetune_job().model_dump_json(), *given, *indices, *outputs]


def pretrain(method: str, **options: Any) -> Command:
    """Pre-train on the run's images, with features or superpixels that were made before."""

    def command(folder: Path, out: Path) -> list[str]:
        from invented import VOXELS, pretrain_job

        from cmcr.data.images import ImageOptions
        from cmcr.data.superpixels import SuperpixelOptions

        job = pretrain_job(
            method=method,
            options=options,
            voxels=VOXELS,
            images=ImageOptions(size=(48, 80)),
            superpixels=SuperpixelOptions(segments=8) if method == "slidr" else None,
        )
        given = ["--index", str(folder / "index.jsonl"), "--feature-bank", str(folder / "features.npy")]
        given += ["--superpixels", str(folder / "superpixels")] if method == "slidr" else []
        where = ["--folder", str(out / "logs"), "--output", str(out / "backbone.safetensors")]
        plugin = str(ROOT / "baselines" / f"{method}.py")
        return ["pretrain", "--job", job.model_dump_json(), "--plugin", plugin, *given, *where]

    return command


def answer_to(damage: Damage, yard: Path, folder: Path) -> Answer:
    """Copy the group's data to ``folder``, damage them and run the command."""
    place, out = folder / damage.group, folder / "out"
    shutil.copytree(yard / damage.group, place, copy_function=os.link)
    damage.change(place)
    arguments = damage.command(place, out)
    before = set(folder.rglob("*"))
    code, text, work_s = (_run_with_little_memory if damage.claims_memory else _run)(arguments, folder)
    after = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(LOGS)}
    return Answer(code, text, tuple(sorted(str(path.relative_to(folder)) for path in after - before)), work_s)


def _run(arguments: list[str], folder: Path) -> tuple[int, str, float]:
    from cmcr.cli import main

    printed, started = io.StringIO(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with (
        in_time(MOST_WAIT_S),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        code = main(arguments)
    return code, printed.getvalue(), resource.getrusage(resource.RUSAGE_SELF).ru_utime - started


#: Limits the memory to what is taken once everything is imported, and some more; says how much work it was.
_LIMITED = """
import resource, sys
from importlib import import_module
from cmcr.cli import main
import_module("cmcr.commands." + sys.argv[2].replace("-", "_"))
for name in ("kitti", "nuscenes", "semantic_kitti", "waymo"):
    if name in sys.argv:
        import_module(f"cmcr.data.{name}_index")
if "nuscenes" in sys.argv:
    import nuscenes
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
code = main(sys.argv[2:])
print("work", resource.getrusage(resource.RUSAGE_SELF).ru_utime - started)
sys.exit(code)
"""


def _run_with_little_memory(arguments: list[str], folder: Path) -> tuple[int, str, float]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(HEADROOM_BYTES), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_WAIT_S, check=False,
    )  # fmt: skip
    *printed, last = done.stdout.splitlines() or [""]
    work_s = float(last.removeprefix("work ")) if last.startswith("work ") else float("nan")
    return done.returncode, "\n".join(printed) + done.stderr, work_s
