"""The unified codebook: one set of codes for both modalities. Shapes: N matched pairs, K codes, C channels."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.options import Options
from cmcr.processes import summed_over_processes

DEAD_AFTER = 100
"""Updates in a row without a pick after which a code counts as dead; chosen here: at CMCR's 2048 pairs and 400 codes a
code in use is picked ten times in each."""

ROWS_AT_ONCE = 32_768
"""Features whose scores against all codes are held at a time: 50 MB at 400 codes, where every pixel of a batch of
images would need gigabytes."""

SHORTEST_SUM = 1e-12
"""Length below which an averaged sum no longer points anywhere in single precision."""


class CodebookOptions(Options):
    """Options of the unified codebook; the defaults are the released ones."""

    codes: PositiveInt = 400
    """Number of codes."""
    decay: float = Field(default=0.999, gt=0, lt=1)
    """How much of the moving averages of counts and sums stays at each of an update's two halves."""
    epsilon: PositiveFloat = 1e-5
    """Added to the count of every code (Laplace smoothing)."""


class CodebookUse(NamedTuple):
    """How one update used the codes, over all processes; scalars."""

    perplexity_points: Tensor
    """exp of the entropy of the codes that points picked: 1 if they all picked the same, K if all codes alike."""
    perplexity_pixels: Tensor
    """The same for pixels."""
    agreement: Tensor
    """Share of the pairs whose point and pixel picked the same code."""
    used_share: Tensor
    """Share of the codes that a point or a pixel picked."""
    dead_codes: Tensor
    """Number of codes that neither picked in this update and the `DEAD_AFTER` - 1 before it."""


class Codebook(nn.Module):
    """K codes of length one to which points and pixels are both assigned (CMCR).

    The codes are no parameters: `update` moves them towards the features that picked them. All state is in buffers, so
    a checkpoint resumes it exactly.

    Attributes:
        codes: (K, C) the codes e, rows of length one.
        counts: (K,) moving average of the number of picks, smoothed.
        sums: (K, C) moving average of the sum of what picked each code; it starts at the codes themselves.
        idle: (K,) int64 updates since each code was last picked.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    idle: Tensor

    def __init__(self, options: CodebookOptions, channels: int, pairs_per_update: int, generator: torch.Generator):
        """Draw the codes.

        Args:
            options: number of codes and pace of the moving averages.
            channels: C.
            pairs_per_update: how many pairs an update weighs, whatever the number it is given; see `update`.
            generator: draws the codes, uniform in the cube and then brought to length one. Every process of a
                distributed run has to start from the same seed.

        Raises:
            ValueError: ``channels`` or ``pairs_per_update`` is not positive.
        """
        super().__init__()
        if channels < 1 or pairs_per_update < 1:
            raise ValueError(
                f"a codebook needs at least 1 channel and 1 pair per update; found {channels} and {pairs_per_update}"
            )
        self.options, self.channels, self.pairs_per_update = options, channels, pairs_per_update
        uniform_KC = torch.rand(options.codes, channels, generator=generator, device=generator.device) * 2 - 1
        self.register_buffer("codes", F.normalize(uniform_KC, dim=1))
        self.register_buffer("counts", torch.zeros(options.codes, device=generator.device))
        self.register_buffer("sums", self.codes.clone())
        self.register_buffer("idle", torch.zeros(options.codes, dtype=torch.int64, device=generator.device))

    def distances(self, features_NC: Tensor) -> Tensor:
        """Return the (N, K) Euclidean distances |f - e|, with a gradient that is finite also at a code."""
        self._check(features_NC)
        with _full_precision(features_NC):
            # A copy: the backward pass needs the codes where they are now, and `update` moves them in place.
            return torch.cdist(features_NC.to(self.codes.dtype), self.codes.clone())

    @torch.no_grad()
    def assign(self, features: Tensor) -> Tensor:
        """Return the number of the nearest code of each of the (..., C) features, (...) int64.

        |f - e|^2 = |f|^2 - 2 (f . e - |e|^2 / 2), so the nearest code has the largest f . e - |e|^2 / 2.
        """
        self._check(features)
        with _full_precision(features):
            minus_half_norm_K = self.codes.square().sum(dim=1) / -2
            nearest = [
                torch.addmm(minus_half_norm_K, rows, self.codes.T).argmax(dim=1)
                for rows in features.reshape(-1, self.channels).to(self.codes.dtype).split(ROWS_AT_ONCE)
            ]
        return torch.cat(nearest).reshape(features.shape[:-1])

    def nearest(self, features: Tensor) -> Tensor:
        """Return e(F), the nearest code of each of the (..., C) features, without a gradient."""
        return self.codes[self.assign(features)]

    def quantise(self, features: Tensor) -> Tensor:
        """Return Q = F + (e(F) - F).detach(): the value of the code, the gradient of the (..., C) feature."""
        return features + (self.nearest(features) - features).detach()

    @torch.no_grad()
    def update(self, points_NC: Tensor, pixels_NC: Tensor) -> CodebookUse:
        """Move the codes towards the pairs that picked them, first those of the points, then those of the pixels.

        Twice, with P_k the pairs whose point is nearest to code k before the update, then those whose pixel is; with d
        the decay, M the number of pairs over all processes and N = ``pairs_per_update``:

            count_k <- d count_k + (1 - d) N/M |P_k|
            count_k <- (count_k + eps) / (n + K eps) n,    n = sum_k count_k
            sum_k   <- d sum_k   + (1 - d) N/M sum_{i in P_k} (f_i + g_i) / 2

        and at the end e_k = sum_k / |sum_k|. So a code goes half to the points f and half to their pixels g.

        The released code (Eaphan/CMCR@36654d5, ``pretrain/lightning_trainer.py``, ``loss_codebook``) averages counts
        and sums over its devices, with N pairs on each: then N/M is one over their number, and both agree. Written
        with N/M the codes do not depend on how the pairs are spread over processes, and a batch short of pairs counts
        as much as in the other losses, which are means. As there, the counts cancel in e_k: smoothing touches them
        alone. And as there, sums start at length 1 whatever N is, so a smaller N leaves the first codes later.

        Args:
            points_NC: (N, C) shared features of the points of this process.
            pixels_NC: (N, C) shared features of their pixels; row i of both is pair i. One process of several may have
                none.

        Raises:
            ValueError: the shapes differ; no process has a pair; a feature of any process is not finite. The codebook
                is then as it was.
        """
        self._check(points_NC)
        if points_NC.ndim != 2 or points_NC.shape != pixels_NC.shape:
            raise ValueError(
                f"expected (N, C) features of as many points as pixels; found {tuple(points_NC.shape)} of points and "
                f"{tuple(pixels_NC.shape)} of pixels"
            )
        counts_3K, sums_2KC = self._gather(points_NC, pixels_NC)
        pairs = counts_3K[0].sum()
        # Judged after the processes have met: an error in one of them alone would leave the others waiting.
        if pairs == 0:
            raise ValueError("the codebook cannot be updated: there is no pair of point and pixel in this batch")
        if not sums_2KC.isfinite().all():
            raise ValueError("the codebook cannot be updated: a feature of a point or pixel is NaN or infinite")
        weight = float(self.pairs_per_update / pairs)
        for counts_K, sums_KC in zip(weight * counts_3K[:2], weight * sums_2KC, strict=True):
            self._average(counts_K, sums_KC)
        lengths_K1 = torch.linalg.vector_norm(self.sums, dim=1, keepdim=True)
        # What nobody picks fades but does not turn: its code stays, also when its sum is too short to be divided by.
        self.codes.copy_(torch.where(lengths_K1 > SHORTEST_SUM, self.sums / lengths_K1, self.codes))
        return self._use(counts_3K)

    def _gather(self, points_NC: Tensor, pixels_NC: Tensor) -> tuple[Tensor, Tensor]:
        """Return, over all processes, (3, K) pairs per code and (2, K, C) sums of what the codes are pulled to.

        Row 0 is for the codes picked by points, 1 for those picked by pixels, 2 for those picked by both of a pair.
        """
        points_N, pixels_N = self.assign(points_NC), self.assign(pixels_NC)
        picked = (points_N, pixels_N, points_N[points_N == pixels_N])
        counts_3K = torch.stack([codes.bincount(minlength=self.options.codes) for codes in picked]).to(self.codes.dtype)
        halfway_NC = (points_NC.to(self.codes.dtype) + pixels_NC.to(self.codes.dtype)) / 2
        sums_2KC = torch.stack([torch.zeros_like(self.sums).index_add(0, codes, halfway_NC) for codes in picked[:2]])
        together = summed_over_processes(torch.cat([counts_3K.flatten(), sums_2KC.flatten()]))
        counts, sums = together.split([counts_3K.numel(), sums_2KC.numel()])
        return counts.view_as(counts_3K), sums.view_as(sums_2KC)

    def _average(self, counts_K: Tensor, sums_KC: Tensor) -> None:
        """One half of an update: decay, add, smooth."""
        decay, epsilon = self.options.decay, self.options.epsilon
        self.counts.mul_(decay).add_(counts_K, alpha=1 - decay)
        total = self.counts.sum()
        self.counts.add_(epsilon).mul_(total / (total + self.options.codes * epsilon))
        self.sums.mul_(decay).add_(sums_KC, alpha=1 - decay)

    def _use(self, counts_3K: Tensor) -> CodebookUse:
        picked_K = counts_3K[:2].sum(dim=0) > 0
        self.idle.add_(1).masked_fill_(picked_K, 0)
        shares_3K = counts_3K / counts_3K[0].sum()
        perplexities_2 = torch.special.entr(shares_3K[:2]).sum(dim=1).exp()
        return CodebookUse(
            perplexity_points=perplexities_2[0],
            perplexity_pixels=perplexities_2[1],
            agreement=shares_3K[2].sum(),
            used_share=picked_K.to(counts_3K.dtype).mean(),
            dead_codes=(self.idle >= DEAD_AFTER).sum(),
        )

    def _check(self, features: Tensor) -> None:
        if features.ndim < 2 or features.shape[-1] != self.channels:
            raise ValueError(
                f"expected features of {self.channels} channels, as this codebook has; found {tuple(features.shape)}"
            )


def _full_precision(features: Tensor) -> AbstractContextManager[None]:
    """No bfloat16 products inside: codes that are close would be mistaken for one another."""
    return torch.autocast(features.device.type, enabled=False)
