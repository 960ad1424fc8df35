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


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """Return the seed of what a process draws in a step beside its scans. The first one draws as if it were alone."""
    together = seed * 1_000_003 + step
    if rank == 0:
        return together
    # Hashed: torch's generator takes 32 bits of a seed, and sums of the three would meet.
    return int(np.random.SeedSequence(together, spawn_key=(rank,)).generate_state(1)[0])


class SeededSampler(Sampler[Draw]):
    """Visits every scan once per epoch in an order that depends on (seed, epoch) alone.

    Of several processes each visits its share: every batch of this order is cut into as many slices of equal length,
    the first for the first process, and so on. A last, smaller batch is first filled up from the beginning of the
    epoch's order to a multiple of their number; the scans that fill it come twice in that epoch.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        wanted: NDArray[np.bool_] | None = None,
        batch_size: int = 1,
        rank: int = 0,
        processes: int = 1,
    ):
        """Visit ``length`` scans.

        Args:
            length: their number.
            seed: of the run.
            wanted: (length,) scans of which every slice of a batch is to begin with one, so that no process is without;
                None asks for nothing. Only with these the order depends on the number of processes, too.
            batch_size: scans of a batch, of all processes together and a multiple of their number.
            rank: of this process.
            processes: their number.

        Raises:
            ConfigError: there are more slices than such scans.
        """
        self.seed, self.epoch, self.rank, self.processes = seed, 0, rank, processes
        self.length, self.wanted, self.share = length, wanted, batch_size // processes
        # Lengths of the slices in the order of a whole epoch.
        whole, rest = divmod(length, batch_size)
        last = [math.ceil(rest / processes)] * processes if rest else []
        self.slices = np.array([self.share] * (whole * processes) + last)
        if wanted is not None and wanted.sum() < len(self.slices):
            shares = f", on {processes} devices {len(self.slices)} shares" if processes > 1 else ""
            raise ConfigError(
                f"pretrain.recipe.batch_size: {batch_size} makes {math.ceil(length / batch_size)} batches of {length} "
                f"scans{shares}\n  expected: a scan with images in each\n  found:    {wanted.sum()} such scans\n"
                "  way out:  larger batches, or fewer data sets without cameras in pretrain.dataset"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass (Lightning calls this, also after a resume)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return int(self.slices[self.rank :: self.processes].sum())

    def __iter__(self) -> Iterator[Draw]:
        order = make_generator(self.seed, "order", self.epoch).permutation(self.length)
        order = np.resize(order, self.slices.sum())  # filled up from its beginning
        if self.wanted is not None:
            order = _dealt(order, self.wanted[order], self.slices)
        own = np.split(order, self.slices.cumsum()[:-1])[self.rank :: self.processes]
        return (Draw(self.epoch, int(position)) for position in np.concatenate(own))


def _dealt(order: NDArray[np.int64], wanted: NDArray[np.bool_], slices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``order`` with one of its ``wanted`` places moved to the front of each slice, all else as it was."""
    front = np.flatnonzero(wanted)[: len(slices)]
    others = np.delete(order, front)
    return np.insert(others, slices.cumsum() - slices - np.arange(len(slices)), order[front])
