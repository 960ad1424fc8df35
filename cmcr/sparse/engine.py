"""The two questions an engine answers, and the reference engine in plain PyTorch.

Networks know only the modules of `cmcr.sparse.modules`; those ask `engine_for` for the engine of the features' device.
An engine for another device is one more class here, with the same weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from cmcr.sparse.maps import KernelMap, downsampling_map, submanifold_map
from cmcr.sparse.tensor import SparseTensor


class Engine(ABC):
    """Sparse convolutions. Weights are (K, C_in, C_out), offsets numbered as in `cmcr.sparse.maps`."""

    @abstractmethod
    def submanifold(self, x: SparseTensor, weight: Tensor, kernel_size: int) -> SparseTensor:
        """Convolve on the same voxels: y_u = sum_k W_k^T x_(u + k)."""

    @abstractmethod
    def downsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """Convolve into voxels ``factor`` times as wide: y_c = sum of W_k^T x_u over the voxels u inside c."""

    @abstractmethod
    def upsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """Go back to the voxels that `downsample` came from: y_u = W_k^T x_c for the voxel c around u."""


class ReferenceEngine(Engine):
    """Gather, matrix product, add; on any device, bit for bit the same every time on the CPU."""

    def submanifold(self, x: SparseTensor, weight: Tensor, kernel_size: int) -> SparseTensor:
        """See `Engine`."""
        name = ("submanifold", x.stride, kernel_size)
        if name not in x.cache.maps:
            _, keys, order = x.cache.levels[x.stride]
            x.cache.maps[name] = submanifold_map(keys, order, kernel_size, x.stride)
        return x.replace(gather_multiply_add(x.features, weight, x.cache.maps[name]))

    def downsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """See `Engine`."""
        coarse = x.stride * factor
        name = ("downsample", x.stride, factor)
        if name not in x.cache.maps:
            coordinates, x.cache.maps[name] = downsampling_map(x.coordinates, x.stride, factor)
            x.cache.add_level(coarse, coordinates)
        return x.at_stride(coarse, gather_multiply_add(x.features, weight, x.cache.maps[name]))

    def upsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """See `Engine`."""
        fine = x.stride // factor
        down = x.cache.maps.get(("downsample", fine, factor))
        if down is None:
            raise ValueError(f"no voxels of stride {fine} to go back to from stride {x.stride}")
        back = down.transposed(len(x.cache.levels[fine][0]))
        return x.at_stride(fine, gather_multiply_add(x.features, weight, back))


def gather_multiply_add(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return y with y[target] += features[source] @ weight_k for every offset k of ``kernel_map``."""
    return _GatherMultiplyAdd.apply(features, weight, kernel_map)


class _GatherMultiplyAdd(torch.autograd.Function):
    """Written by hand so that nothing is kept per offset: autograd over the loop would hold every gathered block."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        return _scatter(features, weight, kernel_map.source, kernel_map.target, kernel_map)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        features, weight = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        gradient = gradient.contiguous()
        grad_features = grad_weight = None
        if ctx.needs_input_grad[0]:
            back = kernel_map.transposed(len(features))
            grad_features = _scatter(gradient, weight.transpose(1, 2), back.source, back.target, back)
        if ctx.needs_input_grad[1]:
            grad_weight = torch.zeros_like(weight)
            for k, (source, target) in enumerate(zip(kernel_map.source, kernel_map.target, strict=True)):
                if k == kernel_map.centre:
                    torch.mm(features.T, gradient, out=grad_weight[k])
                elif len(source):
                    torch.mm(features.index_select(0, source).T, gradient.index_select(0, target), out=grad_weight[k])
        return grad_features, grad_weight, None


def _scatter(
    features: Tensor, weight: Tensor, source: tuple[Tensor, ...], target: tuple[Tensor, ...], kernel_map: KernelMap
) -> Tensor:
    if kernel_map.centre is None:
        out = features.new_zeros(kernel_map.num_targets, weight.shape[2])
    else:
        # Every row meets itself: no gather, and the result is ready to be added to.
        out = features @ weight[kernel_map.centre]
    for k, (rows_in, rows_out) in enumerate(zip(source, target, strict=True)):
        # Within an offset each output row stands once, so the order of additions is that of the offsets alone.
        if k != kernel_map.centre and len(rows_in):
            out.index_add_(0, rows_out, features.index_select(0, rows_in) @ weight[k])
    return out


#: Engines of particular kinds of device; all others are served by the reference engine.
ENGINES: dict[str, Engine] = {}
REFERENCE = ReferenceEngine()


def engine_for(device: torch.device) -> Engine:
    """Return the engine that serves ``device``."""
    return ENGINES.get(device.type, REFERENCE)
