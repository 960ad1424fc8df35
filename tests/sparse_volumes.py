"""Sparse tensors drawn at random, and what they are as dense volumes (helpers of the tests of `cmcr.sparse`)."""

from __future__ import annotations

import torch
from torch import Tensor

from cmcr.sparse import SparseTensor


def random_voxels(number: int, side: int, scans: int = 1, seed: int = 0, low: int = 0) -> Tensor:
    """Draw about ``number`` different voxels (V, 4) int32 of ``scans`` scans, shuffled, within [low, low + side)."""
    generator = torch.Generator().manual_seed(seed)
    position = torch.randint(low, low + side, (number, 3), generator=generator)
    scan = torch.randint(scans, (number, 1), generator=generator)
    voxels = torch.unique(torch.cat([scan, position], dim=1), dim=0)
    return voxels[torch.randperm(len(voxels), generator=generator)].int()


def random_tensor(channels: int, **voxels: int) -> SparseTensor:
    """Draw a float64 tensor on `random_voxels`; its features take gradients."""
    coordinates = random_voxels(**voxels)
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(len(coordinates), channels, generator=generator, dtype=torch.float64)
    return SparseTensor(features.requires_grad_(), coordinates)


def to_dense(features: Tensor, coordinates: Tensor, side: int, scans: int = 1) -> Tensor:
    """Scatter features (V, C) into zeros (scans, C, side, side, side); differentiable."""
    scan, x, y, z = coordinates.long().T
    volume = features.new_zeros(scans, side, side, side, features.shape[1])
    return volume.index_put((scan, x, y, z), features).permute(0, 4, 1, 2, 3)


def at_voxels(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Read a volume (scans, C, side, side, side) at the voxels: (V, C)."""
    scan, x, y, z = coordinates.long().T
    return volume.permute(0, 2, 3, 4, 1)[scan, x, y, z]


def dense_kernel(weight: Tensor) -> Tensor:
    """Rearrange weights (K, C_in, C_out), offsets x fastest, as those of ``conv3d``: (C_out, C_in, x, y, z)."""
    size = round(len(weight) ** (1 / 3))
    return weight.reshape(size, size, size, *weight.shape[1:]).permute(4, 3, 2, 1, 0)
