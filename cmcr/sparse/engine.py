"""What an engine does for sparse convolutions, and the reference engine in plain PyTorch.

Networks know only the modules of `cmcr.sparse.modules` and `cmcr.sparse.volume`; those ask `engine_for` for the engine
of the features' device. All engines share one weight layout, so a network trained with one runs with another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.sparse.maps import KernelMap, downsampling_map, submanifold_map
from cmcr.sparse.tensor import Level, SparseTensor


class Engine(ABC):
    """Sparse convolutions. Weights are (K, C_in, C_out), offsets numbered as in `cmcr.sparse.maps`.

    An engine says how to convolve voxels with their neighbours, which is nearly all of a network's time. From level to
    level, where few voxels meet, all use the reference's products.
    """

    @abstractmethod
    def neighbours(self, voxels: Level, kernel_size: int, stride: int) -> Any:
        """Return what `convolve` needs to know of the ``voxels``, which lie ``stride`` apart; made once per input."""

    @abstractmethod
    def convolve(self, features_VC: Tensor, weight: Tensor, neighbours: Any) -> Tensor:
        """Return (V, C_out) y_u = sum_k W_k^T x_(u + k) over the voxels u + k that there are."""

    def submanifold(self, x: SparseTensor, weight: Tensor, kernel_size: int) -> SparseTensor:
        """Convolve on the same voxels."""
        name = ("submanifold", x.stride, kernel_size)
        if name not in x.cache.maps:
            x.cache.maps[name] = self.neighbours(x.cache.levels[x.stride], kernel_size, x.stride)
        return x.replace(self.convolve(x.features, weight, x.cache.maps[name]))

    def downsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """Convolve into voxels ``factor`` times as wide: y_c = sum of W_k^T x_u over the voxels u inside c."""
        coarse = x.stride * factor
        name = ("downsample", x.stride, factor)
        if name not in x.cache.maps:
            keys, x.cache.maps[name] = downsampling_map(x.coordinates, x.stride, factor)
            x.cache.levels[coarse] = Level.of_sorted(keys)
        return x.at_stride(coarse, gather_multiply_add(x.features, weight, x.cache.maps[name]))

    def upsample(self, x: SparseTensor, weight: Tensor, factor: int) -> SparseTensor:
        """Go back to the voxels that `downsample` came from: y_u = W_k^T x_c for the voxel c around u."""
        fine = x.stride // factor
        down = x.cache.maps.get(("downsample", fine, factor))
        if down is None:
            raise ValueError(f"no voxels of stride {fine} to go back to from stride {x.stride}")
        return x.at_stride(fine, gather_multiply_add(x.features, weight, down.transposed))


class ReferenceEngine(Engine):
    """Gather, matrix product, sum; on any device, bit for bit the same every time on the CPU."""

    def neighbours(self, voxels: Level, kernel_size: int, stride: int) -> KernelMap:
        """See `Engine`."""
        return submanifold_map(voxels.keys, voxels.order, kernel_size, stride)

    def convolve(self, features_VC: Tensor, weight: Tensor, neighbours: KernelMap) -> Tensor:
        """See `Engine`."""
        return gather_multiply_add(features_VC, weight, neighbours)


def gather_multiply_add(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return y with y[target] += features[source] @ weight_k for every pair of every offset k of ``kernel_map``.

    Under autocast the products are made in its type.
    """
    device = features.device.type
    if torch.is_autocast_enabled(device):
        kind = torch.get_autocast_dtype(device)
        features, weight = features.to(kind), weight.to(kind)
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


def choose_engine(device: str, deterministic: bool) -> str:
    """Choose the engine that serves a kind of device from now on, and return what to tell the user of it.

    Args:
        device: ``cpu`` or ``cuda``.
        deterministic: whether the same sums have to come out every time; spconv does not promise that.
    """
    ENGINES.pop(device, None)
    if device != "cuda":
        return "reference engine"
    if deterministic:
        return "reference engine, whose sums are the same every time (compute.deterministic)"
    if find_spec("spconv") is None:
        return "reference engine, much slower on a GPU than spconv, which is not installed (docs/performance.md)"
    from cmcr.sparse.spconv_engine import SpconvEngine

    ENGINES[device] = SpconvEngine()
    return "spconv"


def engine_for(device: torch.device) -> Engine:
    """Return the engine that serves ``device``."""
    return ENGINES.get(device.type, REFERENCE)
