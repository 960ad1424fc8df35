"""Is every file of a run whole? What a kill or a full disk must not have left behind."""

from __future__ import annotations

from pathlib import Path

import torch

from cmcr.results.diagnostics import Diagnosis
from cmcr.results.held_out import read_held_out
from cmcr.results.records import read_record
from cmcr.results.scores import read_scores

#: What grows while it is written, and what only says how a run went.
_GROWING = ("logs/", "benchmarks/")
_GROWING_NAMES = (".lock", "metrics.csv", "events.out.tfevents")


def whole_files(results: Path, undisturbed: Path) -> list[str]:
    """Return the results that are there, by path, having looked into each of them.

    What two runs have in common must equal the file of the run that nothing disturbed, which later jobs have read; what
    holds times or the machine's part in it must be read by its own reader.
    """
    found = []
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if not path.is_file() or name.startswith(_GROWING) or path.name.startswith(_GROWING_NAMES):
            continue
        if ".part" in path.name and path.name.startswith("."):
            continue  # a temporary name
        _check(path, name, undisturbed / name)
        found.append(name)
    return found


def _check(path: Path, name: str, other: Path) -> None:
    if path.suffix == ".ckpt":
        torch.load(path, weights_only=True)
    elif path.name == "scores.json":
        read_scores(path)
    elif path.name == "held_out.json":
        read_held_out(path)
    elif name.startswith("diagnostics/"):
        read_record(path, Diagnosis, "diagnostics")
    elif path.stem == "cost":
        assert path.read_bytes(), f"{name} is empty"
    else:
        assert path.read_bytes() == other.read_bytes(), f"{name} is not what an undisturbed run has"
