"""Sparse convolutions as modules. Weight: (K, C_in, C_out), or (C_in, C_out) for a kernel of one voxel."""

from __future__ import annotations

import math

import torch
from torch import nn

from cmcr.sparse.engine import engine_for
from cmcr.sparse.tensor import SparseTensor


class _SparseConvolution(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, fan: int):
        """Draw weights from N(0, 2 / fan), He initialisation (arXiv:1502.01852), from torch's global generator."""
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size**3, in_channels, out_channels))
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"


class SubmanifoldConv3d(_SparseConvolution):
    """Convolution whose outputs are the occupied voxels themselves (arXiv:1711.10275)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3):
        if kernel_size % 2 == 0:
            raise ValueError(f"a submanifold kernel is centred and so odd, found kernel_size={kernel_size}")
        # Fan out, as MinkowskiEngine's residual networks are initialised.
        super().__init__(in_channels, out_channels, kernel_size, fan=out_channels * kernel_size**3)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return engine_for(x.features.device).submanifold(x, self.weight, self.kernel_size)


class SparseConv3d(_SparseConvolution):
    """Strided convolution whose kernel covers each coarse voxel once (kernel = stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2):
        super().__init__(in_channels, out_channels, stride, fan=out_channels * stride**3)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return engine_for(x.features.device).downsample(x, self.weight, self.kernel_size)


class SparseTransposedConv3d(_SparseConvolution):
    """The way back from `SparseConv3d`, to the very voxels it came from."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2):
        # One offset reaches each output, so the fan is that of one offset.
        super().__init__(in_channels, out_channels, stride, fan=out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return engine_for(x.features.device).upsample(x, self.weight, self.kernel_size)


def concatenate(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Join the channels of two tensors on the same voxels."""
    if a.coordinates is not b.coordinates:
        raise ValueError("the tensors do not stand on the same voxels")
    return a.replace(torch.cat([a.features, b.features], dim=1))
