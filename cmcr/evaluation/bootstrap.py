"""How sure a difference between two methods is: a paired bootstrap over frames and seeds (Efron 1979).

Shapes: S seeds, F frames, K statistics of a frame that add up over frames, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Fewer seeds than this are all kept in every resample: drawing from two says next to nothing about a third.
FEWEST_SEEDS: Final = 3

#: Resamples whose sums are held at a time.
_AT_ONCE: Final = 200

Metric = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Gain(NamedTuple):
    """A difference between two methods and the interval that holds it."""

    mean: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_gain(
    ours_SFK: NDArray[np.number],
    theirs_SFK: NDArray[np.number],
    metric: Metric,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> Gain:
    """Return ours minus theirs, each a mean over the seeds, with its percentile interval.

    A resample draws as many frames as there are, with replacement, and the same for both methods and all seeds, so that
    a frame that is hard for everybody does not count as a difference; from `FEWEST_SEEDS` on it draws seeds, too, the
    same for both. Frames of one drive resemble each other, which no resampling of frames sees: where there are few
    drives, the interval is too narrow.

    Args:
        ours_SFK: statistics of our runs, one for each seed.
        theirs_SFK: statistics of the other method's runs with the same seeds on the same frames.
        metric: from (..., K) sums over frames to (...) values; NaN where there is none.
        rng: draws the resamples.
        resamples: R.
        level: share of the resamples that the interval holds.

    Raises:
        ValueError: the shapes differ, or there is nothing.
    """
    if ours_SFK.ndim != 3 or ours_SFK.shape != theirs_SFK.shape or 0 in ours_SFK.shape:
        raise ValueError(f"expected (S, F, K) statistics twice; found {ours_SFK.shape} and {theirs_SFK.shape}")
    seeds, frames, _ = ours_SFK.shape
    both_2SFK = np.stack([ours_SFK, theirs_SFK]).astype(np.float64)
    gains = []
    for first in range(0, resamples, _AT_ONCE):
        number = min(_AT_ONCE, resamples - first)
        times_RF = rng.multinomial(frames, np.full(frames, 1 / frames), size=number)
        value_2SR = metric(np.einsum("rf,bsfk->bsrk", times_RF, both_2SFK, optimize=True))
        times_RS = np.ones((number, seeds), dtype=np.int64)
        if seeds >= FEWEST_SEEDS:
            times_RS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=number)
        gains.append(((value_2SR[0] - value_2SR[1]).T * times_RS).sum(axis=1) / seeds)
    value_2S = metric(both_2SFK.sum(axis=2))
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(np.concatenate(gains), [tail, 100 - tail])
    return Gain(float((value_2S[0] - value_2S[1]).mean()), float(low), float(high))
