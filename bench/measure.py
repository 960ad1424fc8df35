"""Timing rivals in turns, so that a machine that gets busy slows all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """What is compared. ``rivals`` makes the inputs and returns what to call by name; ours comes first.

    With ``stages`` the others are no rivals but parts of the first, or what it is bounded by.
    """

    title: str
    rivals: Callable[[], Mapping[str, Work]]
    stages: bool = False


@dataclass(frozen=True)
class Times:
    """Seconds of every round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The round in the middle."""
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, float | int]:
        """Return median, fastest and slowest round in seconds, and the number of rounds."""
        return {
            "median_s": self.median,
            "fastest_s": min(self.seconds),
            "slowest_s": max(self.seconds),
            "rounds": len(self.seconds),
        }


def race(rivals: Mapping[str, Work], rounds: int) -> dict[str, Times]:
    """Call each once to warm up, then all of them in turns."""
    for work in rivals.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, work in rivals.items():
            gc.collect()
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return {name: Times(tuple(found)) for name, found in seconds.items()}
