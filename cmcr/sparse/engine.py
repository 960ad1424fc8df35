"""The two questions an engine answers, and the reference engine in plain PyTorch.

Networks know only the modules of `cmcr.sparse.modules`; those ask `engine_for` for the engine of the features' device.
An engine for another device is one more class here, with the same weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.sparse.maps import KernelMap, downsampling_map, submanifold_map
from cmcr.sparse.tensor import Level, SparseTensor


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
    """Gather, matrix product, sum; on any device, bit for bit the same every time on the CPU."""

    def submanifold(self, x: SparseTensor, weight: Tensor, kernel_size: int) -> SparseTensor:
        """See `Engine`."""
        name = ("submanifold", x.stride, kernel_size)
        if name not in x.cache.maps:
            level = x.cache.levels[x.stride]
            x.cache.maps[name] = submanifold_map(level.keys, level.order, kernel_size, x.stride)
        return x.replace(gather_multiply_add(x.features, weight, x.cache.maps[name]))

    def downsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """See `Engine`."""
        coarse = x.stride * factor
        name = ("downsample", x.stride, factor)
        if name not in x.cache.maps:
            keys, x.cache.maps[name] = downsampling_map(x.coordinates, x.stride, factor)
            x.cache.levels[coarse] = Level.of_sorted(keys)
        return x.at_stride(coarse, gather_multiply_add(x.features, weight, x.cache.maps[name]))

    def upsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """See `Engine`."""
        fine = x.stride // factor
        down = x.cache.maps.get(("downsample", fine, factor))
        if down is None:
            raise ValueError(f"no voxels of stride {fine} to go back to from stride {x.stride}")
        return x.at_stride(fine, gather_multiply_add(x.features, weight, down.transposed))


def gather_multiply_add(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return y with y[target] += features[source] @ weight_k for every pair of every offset k of ``kernel_map``."""
    return _GatherMultiplyAdd.apply(features, weight, kernel_map)


class _GatherMultiplyAdd(torch.autograd.Function):
    """Written by hand so that nothing is kept per pair: autograd over the loop would hold every gathered block."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        product = features.new_empty(sum(kernel_map.sizes), weight.shape[2])
        for x_rows, w, y in zip(kernel_map.source, weight, product.split(kernel_map.sizes), strict=True):
            if len(x_rows):
                torch.mm(features.index_select(0, x_rows), w, out=y)
        out = _sum_by_target(product, kernel_map)
        return out if kernel_map.centre is None else out.addmm_(features, weight[kernel_map.centre])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        features, weight = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        gradient = gradient.contiguous()
        grad_weight = torch.zeros_like(weight)
        product = gradient.new_empty(sum(kernel_map.sizes), weight.shape[1])
        blocks, back = product.split(kernel_map.sizes), kernel_map.transposed
        if kernel_map.centre is not None:
            # With its offsets in reverse order, a submanifold map is its own way back: its grouping serves twice.
            blocks, back = blocks[::-1], kernel_map
        for x_rows, y_rows, w, grad_w, grad_x in zip(
            kernel_map.source, kernel_map.target, weight, grad_weight, blocks, strict=True
        ):
            if len(x_rows):
                grad_y = gradient.index_select(0, y_rows)
                torch.mm(features.index_select(0, x_rows).T, grad_y, out=grad_w)
                if ctx.needs_input_grad[0]:
                    torch.mm(grad_y, w.T, out=grad_x)
        if kernel_map.centre is not None:
            torch.mm(features.T, gradient, out=grad_weight[kernel_map.centre])
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None
        grad_features = _sum_by_target(product, back)
        if kernel_map.centre is not None:
            grad_features.addmm_(gradient, weight[kernel_map.centre].T)
        return grad_features, grad_weight, None


def _sum_by_target(product: Tensor, kernel_map: KernelMap) -> Tensor:
    """Sum the pairs' products (M, C) for each output row; zero where a row has none.

    A row is summed by one thread in the order of its pairs, so the result does not depend on the number of threads,
    and each product is read once and each row written once, which adding offset by offset would do many times over.
    """
    groups = kernel_map.by_target
    return F.embedding_bag(groups.pair, product, groups.start, mode="sum")


#: Engines of particular kinds of device; all others are served by the reference engine.
ENGINES: dict[str, Engine] = {}
REFERENCE = ReferenceEngine()


def engine_for(device: torch.device) -> Engine:
    """Return the engine that serves ``device``."""
    return ENGINES.get(device.type, REFERENCE)
