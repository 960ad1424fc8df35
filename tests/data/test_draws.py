"""Order and randomness follow from (seed, epoch, position) alone."""

from __future__ import annotations

from cmcr.data.draws import Draw, SeededSampler, make_generator


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
