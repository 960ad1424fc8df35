"""The sparse engine: a whole network beside its matrix products alone, one layer beside dense and naive versions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.measure import Case, Work
from cmcr.data.voxels import VoxelGrid, voxelize
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.sparse import SparseConv3d, SparseTensor, SparseTransposedConv3d, SubmanifoldConv3d
from cmcr.sparse import engine as sparse_engine
from cmcr.sparse.maps import KernelMap

VOXELS = 65_000
SIDE, OCCUPIED, CHANNELS = 64, 0.02, 32


def sweeps(voxels: int, seed: int = 0) -> Tensor:
    """Return (V, 4) int32 voxels of 0.1 m of as many 32-beam sweeps of a walled street as it takes to have V."""
    rng = np.random.default_rng(seed)
    elevation = np.deg2rad(np.linspace(-30.67, 10.67, 32))[:, None]
    azimuth = np.linspace(0, 2 * np.pi, 1090, endpoint=False)
    found: list[NDArray[np.int32]] = []
    while sum(map(len, found)) < voxels:
        wall_m = np.repeat(rng.uniform(4, 50, 109), 10) / np.cos(elevation)
        ground_m = np.where(elevation < 0, 1.84 / np.sin(-elevation.clip(max=-1e-6)), np.inf)
        range_m = np.minimum(wall_m, ground_m) + rng.normal(0, 0.02, wall_m.shape)
        flat_m = range_m * np.cos(elevation)
        points = np.stack([flat_m * np.cos(azimuth), flat_m * np.sin(azimuth), range_m * np.sin(elevation)], axis=-1)
        cells = voxelize(points.reshape(-1, 3).astype(np.float32), VoxelGrid(kind="cartesian", size_m=0.1)).coordinates
        found.append(np.pad(cells, ((0, 0), (1, 0)), constant_values=len(found)))
    return torch.from_numpy(np.concatenate(found)[:voxels].astype(np.int32))


def network_rivals() -> Mapping[str, Work]:
    """MinkUNet34 forwards and backwards, and the matrix products that this holds, on rows that lie ready."""
    generator = torch.Generator().manual_seed(0)
    coordinates = sweeps(VOXELS)
    intensity = torch.rand(len(coordinates), 1, generator=generator)
    network = MinkUNet(MinkUNetOptions(), in_channels=1, out_channels=None).train()
    products: list[tuple[int, int, int]] = []
    maps: list[KernelMap] = []

    def step() -> None:
        network.zero_grad(set_to_none=True)
        network(SparseTensor(intensity, coordinates)).square().mean().backward()

    record = sparse_engine._sum_by_target

    def recorded(product: Tensor, kernel_map: KernelMap) -> Tensor:
        maps.append(kernel_map)
        return record(product, kernel_map)

    def count(module: SubmanifoldConv3d, inputs: object, output: object) -> None:  # noqa: ARG001
        _, c_in, c_out = module.weight.shape
        sizes = list(maps[-1].sizes)
        if maps[-1].centre is not None:
            sizes[maps[-1].centre] = maps[-1].num_sources
        products.extend((size, c_in, c_out) for size in sizes if size)

    layers = (SubmanifoldConv3d, SparseConv3d, SparseTransposedConv3d)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, layers)]
    sparse_engine._sum_by_target = recorded
    try:
        network(SparseTensor(intensity, coordinates))
    finally:
        sparse_engine._sum_by_target = record
        for hook in hooks:
            hook.remove()
    rows = max(size for size, *_ in products)
    width = max(max(c_in, c_out) for _, c_in, c_out in products)
    left, right, weight = torch.rand(rows, width), torch.rand(rows, width), torch.rand(width, width)

    def alone() -> None:
        for size, c_in, c_out in products:
            x = left.flatten()[: size * c_in].view(size, c_in)
            y = right.flatten()[: size * c_out].view(size, c_out)
            w = weight.flatten()[: c_in * c_out].view(c_in, c_out)
            torch.mm(x, w)
            torch.mm(x.T, y)
            torch.mm(y, w.T)

    return {"forward and backward": step, "its matrix products alone": alone}


def layer_rivals() -> Mapping[str, Work]:
    """One submanifold 3^3 convolution: with kernel maps kept, with neighbours looked up anew, and on the dense grid."""
    generator = torch.Generator().manual_seed(0)
    places = (torch.rand(SIDE, SIDE, SIDE, generator=generator) < OCCUPIED).nonzero().int()
    coordinates = F.pad(places, (1, 0))
    features = torch.randn(len(places), CHANNELS, generator=generator, requires_grad=True)
    layer = SubmanifoldConv3d(CHANNELS, CHANNELS)
    x = SparseTensor(features, coordinates)
    wanted = [features, layer.weight]
    size = 3
    offsets = torch.cartesian_prod(*[torch.arange(size) - 1] * 3).flip(1)  # x runs fastest

    def ours() -> Tensor:
        return layer(x.replace(features)).features

    def naive() -> Tensor:
        table = torch.full((SIDE + 2,) * 3, -1)
        table[tuple((places + 1).long().T)] = torch.arange(len(places))
        out = torch.zeros(len(places), CHANNELS)
        for number, offset in enumerate(offsets):
            neighbour = table[tuple((places + 1 + offset).long().T)]
            there = (neighbour >= 0).nonzero()[:, 0]
            out = out.index_add(0, there, features[neighbour[there]] @ layer.weight[number])
        return out

    def dense() -> Tensor:
        volume = torch.zeros(SIDE, SIDE, SIDE, CHANNELS).index_put(tuple(places.long().T), features).permute(3, 0, 1, 2)
        kernel = layer.weight.view(size, size, size, CHANNELS, CHANNELS).permute(4, 3, 2, 1, 0)
        return F.conv3d(volume[None], kernel, padding=1)[0][(slice(None), *places.long().T)].T

    reference = dense()
    layer_order = {"ours": ours(), "naive": naive()}
    for name, found in layer_order.items():
        torch.testing.assert_close(found, reference, rtol=1e-3, atol=1e-4, msg=name)

    def both_ways(forward: Work) -> Work:
        return lambda: torch.autograd.grad(forward().square().sum(), wanted)  # type: ignore[attr-defined]

    return {"sparse": both_ways(ours), "neighbours looked up anew": both_ways(naive), "dense": both_ways(dense)}


CASES = {
    "network": Case(f"MinkUNet34, {VOXELS} voxels of 32-beam sweeps", network_rivals, stages=True),
    "layer": Case(f"3^3 convolution, {SIDE}^3 cells, {OCCUPIED:.0%} occupied, {CHANNELS} channels", layer_rivals),
}
