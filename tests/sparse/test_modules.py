"""Modules hand their weights to the engine, and begin with the variance they promise."""

from __future__ import annotations

import pytest
import torch
from sparse_volumes import random_tensor

from cmcr.sparse import SparseConv3d, SparseTransposedConv3d, SubmanifoldConv3d, concatenate
from cmcr.sparse.engine import REFERENCE


def test_modules_ask_the_engine():
    x = random_tensor(3, number=50, side=6)
    inner, down, up = (
        SubmanifoldConv3d(3, 4).double(),
        SparseConv3d(4, 5).double(),
        SparseTransposedConv3d(5, 6).double(),
    )
    y = inner(x)
    assert torch.equal(y.features, REFERENCE.submanifold(x, inner.weight, 3).features)
    coarse = down(y)
    assert torch.equal(coarse.features, REFERENCE.downsample(y, down.weight, 2).features)
    assert torch.equal(up(coarse).features, REFERENCE.upsample(coarse, up.weight, 2).features)
    assert up(coarse).features.shape == (len(x), 6)


@pytest.mark.parametrize(
    ("module", "variance"),
    [
        (SubmanifoldConv3d(64, 32), 2 / (27 * 32)),
        (SparseConv3d(64, 64), 2 / (8 * 64)),
        (SparseTransposedConv3d(64, 128), 2 / 128),
    ],
)
def test_initial_variance(module: torch.nn.Module, variance: float):
    assert module.weight.var().item() == pytest.approx(variance, rel=0.05)
    assert module.weight.mean().item() == pytest.approx(0, abs=4 * (variance / module.weight.numel()) ** 0.5)


def test_an_even_submanifold_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size=2"):
        SubmanifoldConv3d(1, 1, kernel_size=2)


def test_concatenate_needs_the_same_voxels():
    x = random_tensor(3, number=20, side=6)
    joined = concatenate(x, x.replace(2 * x.features[:, :1]))
    assert torch.equal(joined.features, torch.cat([x.features, 2 * x.features[:, :1]], dim=1))
    with pytest.raises(ValueError, match="not stand on the same voxels"):
        concatenate(x, random_tensor(3, number=20, side=6))
