"""Timing rivals in turns, so that a machine that gets busy slows all of them."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Work = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """What is compared. ``rivals`` makes the inputs and returns what to call by name; ours comes first.

    With ``stages`` the others are no rivals but parts of the first, what it is bounded by, or larger inputs.
    """

    title: str
    rivals: Callable[[], Mapping[str, Work]]
    stages: bool = False


@dataclass(frozen=True)
class Times:
    """Seconds of every round, and the memory that one call takes on top of what is there before it."""

    seconds: tuple[float, ...]
    peak_mb: float | None = None

    @property
    def median(self) -> float:
        """The round in the middle."""
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, float | int | None]:
        """Return median, fastest and slowest round in seconds, the number of rounds, and the peak of memory in MB."""
        return {
            "median_s": self.median,
            "fastest_s": min(self.seconds),
            "slowest_s": max(self.seconds),
            "rounds": len(self.seconds),
            "peak_mb": self.peak_mb,
        }


def race(rivals: Mapping[str, Work], rounds: int) -> dict[str, Times]:
    """Call each twice to warm up, the second time to see its memory, then all of them in turns."""
    for work in rivals.values():
        work()
    peaks = {name: peak_mb(work) for name, work in rivals.items()}
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, work in rivals.items():
            gc.collect()
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return {name: Times(tuple(found), peaks[name]) for name, found in seconds.items()}


def peak_mb(work: Work) -> float | None:
    """Return by how many MB (10^6 bytes) a call raises the process's resident memory at most; None beside Linux."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not (status.exists() and reset.exists()):
        work()
        return None
    gc.collect()
    # What the allocator keeps for later would hide how much is asked for.
    ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")  # sets VmHWM, the peak, to what is resident now (proc(5))
    before = _kilobytes(status, "VmRSS")
    work()
    return max(0, _kilobytes(status, "VmHWM") - before) * 1.024e-3


def _kilobytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
