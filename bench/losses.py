"""Losses, forwards and backwards, beside the loops and sparse matrices that they replace."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.measure import Case, Work
from cmcr.losses.code_matching import code_matching
from cmcr.losses.superpixel_nce import mean_of_groups, mean_of_pixels, superpixel_groups
from cmcr.models.superpixel_pooling import pool_upsampled

PAIRS, CODES = 2048, 400
IMAGES, SIZE, SUPERPIXELS, CHANNELS = 12, (224, 416), 150, 64
MATCHED = 30_000


def code_matching_rivals() -> Mapping[str, Work]:
    """All pairs at once, and pair by pair: one row of scores each, as the released code has it.

    The rows take the logarithms once for all pairs, which the released code does again for each.
    """
    generator = torch.Generator().manual_seed(0)
    distances = [(2 * torch.rand(PAIRS, CODES, generator=generator)).requires_grad_() for _ in range(2)]

    def loop() -> Tensor:
        log_p, log_q = ((-distance).log_softmax(dim=1) for distance in distances)
        p, q = log_p.exp(), log_q.exp()
        total = torch.zeros(())
        for i in range(PAIRS):
            scores = log_q @ p[i] + log_p @ q[i]
            total = total - scores[i] + scores.logsumexp(dim=0)
        return total / PAIRS

    def whole() -> Tensor:
        return code_matching(*distances)

    torch.testing.assert_close(whole(), loop(), rtol=1e-4, atol=1e-4)
    return {
        "all at once": lambda: torch.autograd.grad(whole(), distances),
        "pair by pair": lambda: torch.autograd.grad(loop(), distances),
    }


def pooling_rivals(coarse: tuple[int, int] | None) -> Mapping[str, Work]:
    """Means over superpixels from a head's map of ``coarse`` size, or from features of every pixel.

    The rival upsamples the map and multiplies by a sparse one-hot matrix, as the released SLidR does.
    """
    generator = torch.Generator().manual_seed(0)
    points_NC = F.normalize(torch.randn(MATCHED, CHANNELS, generator=generator), dim=1).requires_grad_()
    map_ICHW = F.normalize(torch.randn(IMAGES, CHANNELS, *(coarse or SIZE), generator=generator), dim=1)
    map_ICHW.requires_grad_()
    rows, columns = torch.arange(SIZE[0])[:, None] // 23, torch.arange(SIZE[1]) // 28
    superpixels_IHW = (rows * 15 + columns).clamp(max=SUPERPIXELS - 1).expand(IMAGES, -1, -1).contiguous()
    image, row, column = (torch.randint(side, (MATCHED,), generator=generator) for side in (IMAGES, *SIZE))
    group_N = superpixel_groups(image, row.float(), column.float(), superpixels_IHW, SUPERPIXELS)
    group_P = (superpixels_IHW + torch.arange(IMAGES)[:, None, None] * SUPERPIXELS).flatten()

    def indexed() -> tuple[Tensor, Tensor]:
        means, _ = mean_of_groups(points_NC, group_N, IMAGES * SUPERPIXELS)
        if coarse is None:
            return means, mean_of_pixels(map_ICHW, superpixels_IHW, SUPERPIXELS)
        return means, pool_upsampled(map_ICHW, superpixels_IHW, SUPERPIXELS, unit_pixels=True)

    def one_hot_means(group: Tensor, features: Tensor) -> Tensor:
        where = torch.stack([group, torch.arange(len(group))])
        one_hot = torch.sparse_coo_tensor(where, torch.ones(len(group)), (IMAGES * SUPERPIXELS, len(group)))
        return one_hot @ features / (torch.sparse.sum(one_hot, 1).to_dense()[:, None] + 1e-6)

    def sparse() -> tuple[Tensor, Tensor]:
        full_ICHW = map_ICHW
        if coarse is not None:
            full_ICHW = F.normalize(F.interpolate(map_ICHW, SIZE, mode="bilinear", align_corners=True), dim=1)
        pixels_PC = full_ICHW.permute(0, 2, 3, 1).flatten(0, 2)
        return one_hot_means(group_N, points_NC), one_hot_means(group_P, pixels_PC)

    def gradient(means: tuple[Tensor, Tensor]) -> object:
        return torch.autograd.grad((means[0] * means[1]).sum(), [points_NC, map_ICHW])

    warnings.filterwarnings("ignore", message="Sparse")  # that torch does not check them
    for expected, found in zip(sparse(), indexed(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    return {"by index": lambda: gradient(indexed()), "sparse matrices": lambda: gradient(sparse())}


_POOLING = f"superpixel pooling, {IMAGES} images of {SIZE[0]} x {SIZE[1]}, {MATCHED} pairs"
CASES = {
    "code_matching": Case(f"code matching, {PAIRS} pairs, {CODES} codes", code_matching_rivals),
    "pooling_resnet50": Case(f"{_POOLING}, behind a ResNet-50 (7 x 13)", lambda: pooling_rivals((7, 13))),
    "pooling_dilated": Case(f"{_POOLING}, behind a dilated ResNet-50 (56 x 104)", lambda: pooling_rivals((56, 104))),
    "pooling_pixels": Case(f"{_POOLING}, from features of every pixel", lambda: pooling_rivals(None)),
}
