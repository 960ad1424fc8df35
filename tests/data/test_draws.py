"""Order and randomness follow from (seed, epoch, position) alone."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.draws import Draw, SeededSampler, make_generator, seed_of_step
from cmcr.errors import ConfigError


def test_every_scan_comes_once_per_epoch_in_a_new_order():
    sampler = SeededSampler(20, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(draw.position for draw in first) == sorted(draw.position for draw in second) == list(range(20))
    assert [draw.position for draw in first] != [draw.position for draw in second]
    assert {draw.epoch for draw in first} == {0}
    assert {draw.epoch for draw in second} == {1}


def test_an_epochs_order_does_not_depend_on_the_epochs_before():
    resumed, other = SeededSampler(20, seed=3), SeededSampler(20, seed=4)
    whole = SeededSampler(20, seed=3)
    list(whole)
    for sampler in (whole, resumed, other):
        sampler.set_epoch(5)
    assert list(whole) == list(resumed) != list(other)
    assert list(whole) == list(whole)


def test_no_two_places_share_a_generator():
    places = [("order", 0), ("order", 1), ("scan", 0, 0), ("scan", 0, 1), ("scan", 1, 0), ("scan", 0), ("order", 0, 0)]
    numbers = [make_generator(seed, *place).random() for seed in (0, 1) for place in places]  # type: ignore[arg-type]
    assert len(set(numbers)) == len(numbers)
    assert make_generator(0, "scan", 2, 3).random() == make_generator(0, "scan", *Draw(2, 3)).random()


def epoch_of(processes: int, **options: Any) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Return what one process loads in an epoch, batch by batch, and what each of several does."""

    def batches(sampler: SeededSampler, size: int) -> list[list[int]]:
        order = [draw.position for draw in sampler]
        assert len(order) == len(sampler)
        return [order[first : first + size] for first in range(0, len(order), size)]

    size = options["batch_size"]
    shares = [
        batches(SeededSampler(**options, rank=rank, processes=processes), size // processes)
        for rank in range(processes)
    ]
    return batches(SeededSampler(**options), size), shares


@given(length=st.integers(1, 40), share=st.integers(1, 5), processes=st.integers(1, 4), seed=st.integers(0, 2**31 - 1))
def test_several_processes_load_slices_of_the_batches_of_one(length: int, share: int, processes: int, seed: int):
    whole, shares = epoch_of(processes, length=length, seed=seed, batch_size=share * processes)
    together = [list(chain(*slices)) for slices in zip(*shares, strict=True)]
    assert together[:-1] == whole[:-1]
    missing = -len(whole[-1]) % processes
    order = [position for batch in whole for position in batch]
    assert together[-1] == whole[-1] + [order[place % length] for place in range(missing)]
    assert len({len(slices[-1]) for slices in shares}) == 1


@given(
    length=st.integers(1, 40),
    share=st.integers(1, 5),
    processes=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
    without=st.sets(st.integers(0, 39)),
)
def test_every_process_has_one_of_the_wanted_scans_in_every_batch(
    length: int, share: int, processes: int, seed: int, without: set[int]
):
    wanted = np.array([position not in without for position in range(length)])
    options = {"length": length, "seed": seed, "batch_size": share * processes, "wanted": wanted}
    if wanted.sum() < processes * -(-length // (share * processes)):
        with pytest.raises(ConfigError, match="expected: a scan with images in each"):
            SeededSampler(**options, processes=processes)
        return
    shares = [list(SeededSampler(**options, rank=rank, processes=processes)) for rank in range(processes)]
    assert all(wanted[order[first].position] for order in shares for first in range(0, len(order), share))
    assert {draw.position for order in shares for draw in order} == set(range(length))


def test_the_first_process_draws_as_if_it_were_alone_and_no_other_draws_the_same():
    assert seed_of_step(3, 7, rank=0) == 3 * 1_000_003 + 7
    seeds = [seed_of_step(seed, step, rank) for seed in range(4) for step in range(50) for rank in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
