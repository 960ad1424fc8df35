"""Which scan is loaded when, and where its randomness comes from: all of it follows from (seed, epoch, position)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from torch.utils.data import Sampler


def make_generator(seed: int, purpose: Literal["order", "scan"], *place: int) -> np.random.Generator:
    """Return the generator for one purpose at one place of the run, independent of all others."""
    # A spawn key keeps apart what a longer entropy would not: [seed, epoch] and [seed, epoch, 0] seed the same numbers.
    key = (("order", "scan").index(purpose), *place)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Draw(NamedTuple):
    """Which scan to load, and in which epoch: together with the seed they fix every random choice made for it."""

    epoch: int
    position: int


class SeededSampler(Sampler[Draw]):
    """Visits every scan once per epoch in an order that depends on (seed, epoch) alone."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass (Lightning calls this, also after a resume)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        order = make_generator(self.seed, "order", self.epoch).permutation(self.length)
        return (Draw(self.epoch, int(position)) for position in order)
