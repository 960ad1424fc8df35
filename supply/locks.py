"""Lock files: a line ``name==version`` for each package, and below it the SHA-256 of what may be installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Lock file and what it is for, in the order of docs/licences.md.
LOCKS = {
    "requirements.lock": "The environment of `make setup`",
    "requirements-slurm.lock": "Snakemake's executor for SLURM, in the same environment",
    "requirements-cuda.lock": "What torch's CUDA build needs besides, in the same environment",
    "requirements-mutants.lock": "What `make mutants` needs besides, in the same environment",
    "requirements-waymo.lock": "The environment of `make waymo-env`, which reads Waymo's files",
}

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s\\]+)")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})\b")


def normalised(name: str) -> str:
    """Return a package's name in the form in which two spellings of it are equal."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Pin:
    """A package, its version, and the hashes of its files; none in a file that has just been edited by hand."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the lines of a lock file, in pip's form."""
        return " \\\n    ".join([f"{self.name}=={self.version}", *(f"--hash={value}" for value in self.hashes)])


@dataclass(frozen=True)
class Lock:
    """A lock file: what its head says, and its pins."""

    head: str
    pins: tuple[Pin, ...]

    @classmethod
    def of(cls, text: str) -> Lock:
        """Read the text of a lock file."""
        lines = text.splitlines(keepends=True)
        head = "".join(line for line in lines if line.startswith("#"))
        pins: list[Pin] = []
        for line in lines:
            if line.startswith("#"):
                continue
            if found := _PIN.match(line):
                pins.append(Pin(found["name"], found["version"]))
            for value in _HASH.findall(line):
                pins[-1] = Pin(pins[-1].name, pins[-1].version, (*pins[-1].hashes, value))
        return cls(head, tuple(pins))

    def text(self) -> str:
        """Return the text of the file."""
        return self.head + "".join(f"{pin.text()}\n" for pin in self.pins)

    def with_hashes(self, found: Iterable[Mapping[str, str]]) -> Lock:
        """Add hashes to what the pins have.

        Those of an unchanged pin stay: another machine's package index may hold another build of the same version.

        Args:
            found: from normalised name to hash, once for each index that was asked.
        """
        answers = list(found)
        pins = []
        for pin in self.pins:
            new = {answer[normalised(pin.name)] for answer in answers if normalised(pin.name) in answer}
            pins.append(Pin(pin.name, pin.version, tuple(sorted({*pin.hashes, *new}))))
        return Lock(self.head, tuple(pins))


def read_lock(name: str) -> Lock:
    """Read a lock file of this project."""
    return Lock.of((ROOT / name).read_text(encoding="utf-8"))
