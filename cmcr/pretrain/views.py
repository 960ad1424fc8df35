"""What a pre-trained method can show of itself on scans it never saw, in terms that every method can speak.

A method says beforehand, from its options alone, what there is to see (`Shows`), because the workflow has to know which
pictures to ask for. The plain tuples here are what it then hands out. They know nothing of heads or losses, so that
editing those of one method re-runs no other.

Shapes: N matched points and pixels, Q places, I images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from cmcr.data.batches import PairBatch


class Shows(NamedTuple):
    """What a method with certain options can show; nothing by default."""

    pairs: bool = False
    """Which pairs it draws: `PretrainMethod.match`."""
    codes: int = 0
    """Number of codes of its codebook, to which points and pixels are assigned: `PretrainMethod.match`; 0 for none."""
    reconstruction: bool = False
    """Masked images and what it makes of them: `PretrainMethod.rebuild`."""
    occupancy: bool = False
    """What it takes for occupied: `PretrainMethod.survey`."""


class Matched(NamedTuple):
    """N pairs, drawn as a step of training draws them, and the codes that both of each pick."""

    pairs: PairBatch
    """The pairs."""
    codes_2N: Tensor | None
    """(2, N) int64 codes of the points and of their pixels; None without a codebook."""


class Rebuilt(NamedTuple):
    """Images that were masked and rebuilt, at the resolution h x w of the reconstruction."""

    masks_Ihw: Tensor
    """(I, h, w) bool, True where a pixel was masked."""
    rebuilt_I3hw: Tensor
    """(I, 3, h, w) in [0, 1]."""
    target_I3hw: Tensor
    """(I, 3, h, w) the images before they were masked, in [0, 1]."""


class Survey(NamedTuple):
    """Places of which a batch of scans tells what is there, and someone to ask about these and any other places."""

    position_Q3: Tensor
    """(Q, 3) metres, in the frame of the points."""
    scan_Q: Tensor
    """(Q,) int64 scan of each place."""
    occupied_Q: Tensor
    """(Q,) bool."""
    near_Q: Tensor
    """(Q,) bool, True where a place lies so close to a return that its intensity counts as the place's."""
    intensity_Q: Tensor | None
    """(Q,) intensity of the return that tells of the place, in [0, 1]; None if the method does not learn it."""
    ask: Callable[[Tensor, Tensor], Tensor]
    """From (Q, 3) places and their (Q,) scans to (Q, 2) occupancy logit and intensity; NaN where no point is near. The
    intensity means something only if it is learned."""
