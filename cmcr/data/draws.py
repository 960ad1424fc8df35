"""Which scan is loaded when, and where its randomness comes from: all of it follows from (seed, epoch, position)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from cmcr.errors import ConfigError


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

    def __init__(self, length: int, seed: int, wanted: NDArray[np.bool_] | None = None, batch_size: int = 1):
        """Visit ``length`` scans.

        Args:
            length: their number.
            seed: of the run.
            wanted: (length,) scans of which every batch is to begin with one; None asks for nothing.
            batch_size: scans of a batch, where some are wanted.

        Raises:
            ConfigError: there are more batches than such scans.
        """
        self.length, self.seed, self.epoch = length, seed, 0
        self.wanted, self.batch_size = wanted, batch_size
        if wanted is not None and wanted.sum() < math.ceil(length / batch_size):
            raise ConfigError(
                f"pretrain.recipe.batch_size: {batch_size} makes {math.ceil(length / batch_size)} batches of {length} "
                f"scans\n  expected: a scan with images in each\n  found:    {wanted.sum()} such scans\n"
                "  way out:  larger batches, or fewer data sets without cameras in pretrain.dataset"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass (Lightning calls this, also after a resume)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        order = make_generator(self.seed, "order", self.epoch).permutation(self.length)
        if self.wanted is not None:
            order = _dealt(order, self.wanted[order], self.batch_size)
        return (Draw(self.epoch, int(position)) for position in order)


def _dealt(order: NDArray[np.int64], wanted: NDArray[np.bool_], batch_size: int) -> NDArray[np.int64]:
    """Return ``order`` with one of its ``wanted`` places moved to the front of each batch, all else as it was."""
    batches = math.ceil(len(order) / batch_size)
    front = np.flatnonzero(wanted)[:batches]
    others = np.delete(order, front)
    return np.insert(others, np.arange(batches) * (batch_size - 1), order[front])
