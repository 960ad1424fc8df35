"""How often a network is right about occupied and empty space, counted query by query over any number of scans."""

from __future__ import annotations

import torch
from torch import Tensor


class OccupancyAccuracy:
    """Streaming counts of queries that met at least one point; the others have no answer, right or wrong.

    Attributes:
        occupied, empty: queries of each kind.
        right: those answered correctly; a logit of exactly 0 says neither and is wrong.
        unanswered: queries that met no point.
    """

    def __init__(self) -> None:
        self.occupied = self.empty = self.right = self.unanswered = 0

    def update(self, logit_Q: Tensor, occupied_Q: Tensor) -> None:
        """Add the queries of one or several scans.

        Args:
            logit_Q: (Q,) logit of being occupied, NaN where there is no answer.
            occupied_Q: (Q,) bool.

        Raises:
            ValueError: the shapes differ.
        """
        if logit_Q.shape != occupied_Q.shape or logit_Q.dim() != 1:
            raise ValueError(
                f"expected one logit per query, found {tuple(logit_Q.shape)} logits for {tuple(occupied_Q.shape)}"
            )
        answered_Q = ~torch.isnan(logit_Q)
        self.unanswered += int((~answered_Q).sum())
        logit_Q, occupied_Q = logit_Q[answered_Q], occupied_Q[answered_Q]
        self.occupied += int(occupied_Q.sum())
        self.empty += int((~occupied_Q).sum())
        self.right += int(torch.where(occupied_Q, logit_Q > 0, logit_Q < 0).sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers; NaN without any answer."""
        return _share(self.right, self.occupied + self.empty)

    @property
    def majority(self) -> float:
        """What always giving the more frequent answer would score on the same queries; NaN without any."""
        return _share(max(self.occupied, self.empty), self.occupied + self.empty)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
