from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cmcr.evaluation.bootstrap import Gain, paired_gain


def share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hits of tries, both of which add up over frames."""
    return 100 * sums[..., 0] / sums[..., 1]


def runs(level: float, seeds: int = 3, frames: int = 30, seed: int = 0) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    tries = rng.integers(50, 100, size=(1, frames)).repeat(seeds, axis=0)
    return np.stack([rng.binomial(tries, level), tries], axis=-1)


def slow_gains(ours: NDArray[np.int64], theirs: NDArray[np.int64], resamples: int) -> list[float]:
    """One resample, one seed and one frame at a time, in the words of the docstring."""
    rng, seeds, frames = np.random.default_rng(1), *ours.shape[:2]
    gains = []
    for _ in range(resamples):
        frames_drawn = rng.integers(frames, size=frames)
        seeds_drawn = rng.integers(seeds, size=seeds) if seeds >= 3 else range(seeds)
        values = []
        for of_method in (ours, theirs):
            of_seeds = []
            for seed in seeds_drawn:
                hits = sum(int(of_method[seed, frame, 0]) for frame in frames_drawn)
                tries = sum(int(of_method[seed, frame, 1]) for frame in frames_drawn)
                of_seeds.append(100 * hits / tries)
            values.append(sum(of_seeds) / len(of_seeds))
        gains.append(values[0] - values[1])
    return gains


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_the_interval_is_that_of_a_slow_loop(seeds: int) -> None:
    ours, theirs = runs(0.6, seeds, 12, 1), runs(0.5, seeds, 12, 2)
    theirs[..., 1] = ours[..., 1]
    theirs[..., 0] = np.minimum(theirs[..., 0], theirs[..., 1])
    found = paired_gain(ours, theirs, share, np.random.default_rng(0), resamples=4000)
    low, high = np.percentile(slow_gains(ours, theirs, 2000), [2.5, 97.5])
    width = high - low
    assert found.low == pytest.approx(low, abs=0.08 * width)
    assert found.high == pytest.approx(high, abs=0.08 * width)
    assert found.mean == pytest.approx(np.mean([share(ours[s].sum(0)) - share(theirs[s].sum(0)) for s in range(seeds)]))


@pytest.mark.parametrize(("number", "resamples"), [(2000, {}), (450, {"resamples": 450})])
def test_the_interval_holds_its_share_of_that_many_resamples(number: int, resamples: dict[str, int]) -> None:
    gains = []

    def noting(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        values = share(sums)
        if values.ndim == 3:  # of all resamples that are held at a time
            gains.extend((values[0] - values[1]).mean(axis=0).tolist())
        return values

    found = paired_gain(runs(0.6, 2), runs(0.5, 2), noting, np.random.default_rng(0), level=0.7, **resamples)
    assert len(gains) == number
    assert [found.low, found.high] == pytest.approx(np.percentile(gains, [15, 85]).tolist())


def test_a_method_gains_nothing_over_itself() -> None:
    ours = runs(0.6)
    assert paired_gain(ours, ours, share, np.random.default_rng(0)) == (0, 0, 0)
    assert not paired_gain(ours, ours, share, np.random.default_rng(0)).is_sure


def test_what_is_hard_for_both_is_no_difference() -> None:
    # Half of the frames are hopeless for both: far apart by themselves, but the gain is 10 in each of the others.
    frames = np.arange(20)
    theirs = np.stack([np.where(frames < 10, 0, 50), np.full(20, 100)], axis=-1)[None]
    ours = theirs + np.array([10, 0])
    gain = paired_gain(ours, theirs, share, np.random.default_rng(0))
    assert gain == pytest.approx((10, 10, 10))
    assert gain.is_sure


def test_seeds_widen_the_interval_only_where_there_are_enough() -> None:
    theirs = np.broadcast_to(np.array([50, 100]), (3, 5, 2))  # frames all alike
    ours = theirs + np.array([-5, 10, 40])[:, None, None] * np.array([1, 0])
    assert paired_gain(ours[:2], theirs[:2], share, np.random.default_rng(0)) == pytest.approx((2.5, 2.5, 2.5))
    mean, low, high = paired_gain(ours, theirs, share, np.random.default_rng(0))
    assert mean == pytest.approx(15)
    assert low == pytest.approx(-5)
    assert high == pytest.approx(40)


@pytest.mark.parametrize(
    ("low", "high", "sure"), [(0.2, 0.9, 1), (-0.9, -0.2, 1), (-0.1, 0.1, 0), (0, 1, 0), (-1, 0, 0)]
)
def test_a_gain_is_sure_where_the_interval_leaves_out_zero(low: float, high: float, sure: int) -> None:
    assert Gain((low + high) / 2, low, high).is_sure == bool(sure)


def test_the_same_generator_gives_the_same_interval() -> None:
    gains = {paired_gain(runs(0.6), runs(0.5), share, np.random.default_rng(7), 300) for _ in range(2)}
    assert len(gains) == 1


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        tries = np.full((1, 60), 40)
        ours, theirs = (np.stack([rng.binomial(tries, level), tries], axis=-1) for level in (0.6, 0.5))
        gain = paired_gain(ours, theirs, share, rng, resamples=300)
        held += gain.low <= 10 <= gain.high
    assert 85 <= held <= 100


def test_runs_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 30, 2\) and \(2, 30, 2\)"):
        paired_gain(runs(0.5), runs(0.5, 2), share, np.random.default_rng(0))
