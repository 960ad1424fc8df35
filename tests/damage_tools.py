"""What `damage` is made of: changes of files, commands that meet them, and running these within bounds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from limits import in_time

ROOT = Path(__file__).resolve().parents[1]

#: A command may not take longer, in seconds of its own work, nor wait longer, in seconds of the clock. Alone they take
#: a second or two; on a busy machine, and with the collector of a process that thousands of tests have filled, several
#: times as long. What these bounds are for never ends, or takes hours.
MOST_WORK_S, MOST_WAIT_S = 60.0, 300
#: What a command may take in memory over what it takes to start, where the input claims to be huge.
HEADROOM_BYTES = 768 * 2**20

#: JSON or YAML without an end.
DEEP = "[" * 100_000

#: What a training may leave behind: its lock, and TensorBoard's log.
LOGS = (".lock", "events.out.tfevents.")

Change = Callable[[Path], object]
#: Gets the folder of the damaged data and one for what is written; returns the arguments of ``cmcr``.
Command = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Damage:
    """One damaged input.

    Attributes:
        group: what is damaged; a folder below the yard has its name.
        name: how, in words.
        file: below the group's folder; the answer has to name it.
        change: damages it, in a copy of the group's folder.
        command: what meets it.
        reason: a pattern that the answer has to match.
        claims_memory: whether it is run with little memory, because it claims to be huge.
    """

    group: str
    name: str
    file: str
    change: Change
    command: Command
    reason: str
    claims_memory: bool = False

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"

    def check(self, text: str) -> bool:
        return re.search(self.reason, text) is not None


@dataclass(frozen=True)
class Answer:
    """What a command did: its exit code, all it printed, and the files that it left."""

    code: int
    text: str
    left: tuple[str, ...]
    work_s: float


# ---------------------------------------------------------------------------------------------------------------------
# Damages


def put(path: Path, content: bytes) -> None:
    """Give a file another content; copies share files with the original, so it is never written into."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def on(file: str, change: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of a file."""
    return lambda folder: put(folder / file, change((folder / file).read_bytes()))


def becomes(file: str, content: bytes | str) -> Change:
    return lambda folder: put(folder / file, content.encode() if isinstance(content, str) else content)


def gone(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


def cut(file: str, kept: float = 0.6) -> Change:
    return on(file, lambda content: content[: int(len(content) * kept)])


def turned(file: str) -> Change:
    """Turn a bit in the middle."""

    def change(content: bytes) -> bytes:
        half = len(content) // 2
        return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]

    return on(file, change)


def swapped(file: str, old: str, new: str) -> Change:
    def change(content: bytes) -> bytes:
        assert old.encode() in content, (file, old)
        return content.replace(old.encode(), new.encode(), 1)

    return on(file, change)


def numbers(file: str, place: int, value: float, kind: str = "<f4") -> Change:
    """Set one number of a file of them."""

    def change(content: bytes) -> bytes:
        values = np.frombuffer(content, dtype=kind).copy()
        values[place] = value
        return values.tobytes()

    return on(file, change)


def instead(file: str, make: Callable[[Path], object]) -> Change:
    """Put something that is no file in a file's place."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return change


def field(file: str, name: str, value: Any, place: int = 0) -> Change:
    """Set a field of one record of a JSON table."""

    def change(content: bytes) -> bytes:
        records = json.loads(content)
        assert name in records[place]
        records[place][name] = value
        return json.dumps(records).encode()

    return on(file, change)


def values(file: str, change: Callable[[Any], Any]) -> Change:
    """Change the value that a JSON file holds."""
    return on(file, lambda content: json.dumps(change(json.loads(content))).encode())


def of_frame(**changes: Any) -> Callable[[Any], Any]:
    """Change the first frame of a converted segment."""

    def change(content: Any) -> Any:
        content["frames"][0] |= changes
        return content

    return change


def sparse_file(path: Path) -> None:
    """A file of a terabyte that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)


def png(width: int, height: int, rows: bytes = b"\0" * 64) -> bytes:
    """A PNG that claims any size and holds ``rows``."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def npy(shape: tuple[int, ...], kind: str = "<f2", content: bytes = b"") -> bytes:
    """An array whose header claims any shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def npz(content: bytes, name: str = "data.npy") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def pickled_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Trap("sprung")], dtype=object), allow_pickle=True)
    return file.getvalue()


class Trap:
    """Makes a file in the working folder if it is unpickled."""

    def __init__(self, name: str):
        self.name = name

    def __reduce__(self) -> Any:
        return os.mknod, (self.name,)


def torch_file(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def packed(content: bytes) -> bytes:
    """The same archive with its entries packed, and one of them much larger."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry) + bytes(2**28 if entry.filename.endswith("data/0") else 0))
    return file.getvalue()


def in_itself() -> dict[str, Any]:
    content: dict[str, Any] = {"a": torch.ones(1)}
    content["model"] = content
    return content


def layers_of_references(key: str) -> str:
    """Ten lines of YAML that stand for ten thousand million values."""
    lines = [f"{key}: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines) + "\n"


def header_of_index(**changes: Any) -> Callable[[bytes], bytes]:
    """Change the header of a scan index and give it a right checksum, as someone who knows how would."""
    from cmcr.files import sha256_of_json

    def change(content: bytes) -> bytes:
        first, rest = content.split(b"\n", 1)
        header = json.loads(first) | changes
        header["header_checksum"] = sha256_of_json({k: v for k, v in header.items() if k != "header_checksum"})
        return json.dumps(header).encode() + b"\n" + rest

    return change


def record_of_index(**changes: Any) -> Callable[[bytes], bytes]:
    """Change the first record of a scan index likewise."""
    import hashlib

    def change(content: bytes) -> bytes:
        _, first, *others = content.split(b"\n")
        lines = b"\n".join([json.dumps(json.loads(first) | changes).encode(), *others])
        return header_of_index(checksum=hashlib.sha256(lines).hexdigest())(content.split(b"\n")[0] + b"\n" + lines)

    return change


def safetensors(header: Any, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


# ---------------------------------------------------------------------------------------------------------------------
# Commands


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
