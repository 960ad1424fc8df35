"""Sparse convolution in a bounded grid, with any kernel, stride and padding: what VoxelNet and its successors use.

`SparseTensor` counts all levels in finest voxels and has no bounds; that fits U-Nets, whose kernels equal their
strides. A detector folds its heights into the channels of a dense map, so its grid has bounds, and its strided kernels
overlap. Here each level counts its own cells from 0, and the arithmetic is that of ``torch.nn.Conv3d`` on the dense
grid, at the outputs that an input reaches, as in spconv (SECOND, Sensors 2018, 18(10), 3337).

Axes are x, y, z in this order throughout; offsets of a kernel are numbered x fastest, then y, then z, as in
`cmcr.sparse.maps`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cmcr.sparse.engine import engine_for, gather_multiply_add
from cmcr.sparse.maps import KernelMap, key_step, pack, unpack
from cmcr.sparse.tensor import Level

Triple = tuple[int, int, int]


@dataclass(eq=False)
class _Cache:
    """What the engine knows of the same cells, by kernel size, each made once."""

    neighbours: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SparseVolume:
    """Features of V occupied cells of a grid.

    Attributes:
        features: (V, C) float.
        coordinates: (V, 4) int32 scan, x, y, z; each once.
        shape: cells along x, y and z.
        scans: number of scans; some may have no cell.
        cache: shared by tensors on the same cells.

    Raises:
        ValueError: shapes do not fit, or a cell lies outside the grid or stands twice.
    """

    features: Tensor
    coordinates: Tensor
    shape: Triple
    scans: int
    cache: _Cache | None = None

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.coordinates.shape != (len(self.features), 4):
            raise ValueError(
                f"expected (V, C) features and (V, 4) coordinates, "
                f"found {tuple(self.features.shape)} and {tuple(self.coordinates.shape)}"
            )
        if self.cache is not None:
            return  # on the cells of another volume, which were looked at then
        object.__setattr__(self, "cache", _Cache())
        limit = self.coordinates.new_tensor([self.scans, *self.shape])
        if bool(((self.coordinates < 0) | (self.coordinates >= limit)).any()):
            raise ValueError(f"expected cells of {self.scans} scans within a grid of {self.shape}, found some outside")
        if len(pack(self.coordinates).unique()) != len(self):
            raise ValueError("two rows have the same scan, x, y and z; voxelise first")

    def __len__(self) -> int:
        return len(self.features)

    def replace(self, features: Tensor) -> SparseVolume:
        """Return a volume on the same cells with other features."""
        return SparseVolume(features, self.coordinates, self.shape, self.scans, self.cache)

    def dense(self) -> Tensor:
        """Return the (B, C, X, Y, Z) grid, zero in empty cells."""
        grid = self.features.new_zeros(self.scans, *self.shape, self.features.shape[1])
        return grid.index_put(tuple(self.coordinates.long().T), self.features).permute(0, 4, 1, 2, 3)

    def from_above(self) -> Tensor:
        """Return the (B, C * Z, Y, X) map whose channels are those of the cells of a column, feature by feature."""
        dense = self.dense()
        return dense.permute(0, 1, 4, 3, 2).flatten(1, 2)


class VolumeConvolution(nn.Module):
    """Convolution of a `SparseVolume`; its outputs are all cells whose kernel meets an input.

    Weight: (K, C_in, C_out), drawn as `SparseConv3d` draws it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple, stride: Triple, padding: Triple):
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.weight = nn.Parameter(torch.empty(math.prod(kernel), in_channels, out_channels))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (out_channels * math.prod(kernel))))

    def forward(self, x: SparseVolume) -> SparseVolume:
        shape, keys, kernel_map = strided_map(x.coordinates, x.shape, self.kernel, self.stride, self.padding)
        return SparseVolume(
            gather_multiply_add(x.features, self.weight, kernel_map), unpack(keys), shape, x.scans, _Cache()
        )

    def extra_repr(self) -> str:
        channels = f"{self.weight.shape[1]}, {self.weight.shape[2]}"
        return f"{channels}, kernel={self.kernel}, stride={self.stride}, padding={self.padding}"


class SubmanifoldVolumeConvolution(nn.Module):
    """Convolution of a `SparseVolume` whose outputs are its own cells (arXiv:1711.10275); the kernel is a cube."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"a submanifold kernel is centred and so odd, found kernel_size={kernel_size}")
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size**3, in_channels, out_channels))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (out_channels * kernel_size**3)))

    def forward(self, x: SparseVolume) -> SparseVolume:
        assert x.cache is not None
        engine, known = engine_for(x.features.device), x.cache.neighbours
        if self.kernel_size not in known:
            known[self.kernel_size] = engine.neighbours(Level.of(x.coordinates), self.kernel_size, stride=1)
        return x.replace(engine.convolve(x.features, self.weight, known[self.kernel_size]))

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[2]}, kernel_size={self.kernel_size}"


def strided_map(
    coordinates_V4: Tensor, shape: Triple, kernel: Triple, stride: Triple, padding: Triple
) -> tuple[Triple, Tensor, KernelMap]:
    """Find the outputs of a convolution and which inputs they meet: input o * stride - padding + k under offset k.

    Args:
        coordinates_V4: (V, 4) scan, x, y, z.
        shape: cells of the input's grid.
        kernel: its size along x, y and z.
        stride: likewise.
        padding: likewise, on both sides.

    Returns:
        The output's grid, (V',) sorted keys of its cells (see `cmcr.sparse.maps.pack`), and the map.

    Raises:
        ValueError: the kernel is larger than the padded grid.
    """
    axes = list(zip(shape, kernel, stride, padding, strict=True))
    x, y, z = ((cells + 2 * pad - size) // step + 1 for cells, size, step, pad in axes)
    if min(x, y, z) < 1:
        raise ValueError(f"a kernel of {kernel} does not fit a grid of {shape} with padding {padding}")
    # Told axis by axis: the key of an output is that of the scan's first one, and what each axis adds to it.
    first_V = pack(torch.nn.functional.pad(coordinates_V4[:, :1], (0, 3)))
    units = (key_step(1, 0, 0), key_step(0, 1, 0), key_step(0, 0, 1))
    met = [
        [(hit_V, target_V * unit) for hit_V, target_V in _along(cells_V.long(), size, step, pad, limit)]
        for cells_V, unit, limit, (_, size, step, pad) in zip(
            coordinates_V4[:, 1:].T, units, (x, y, z), axes, strict=True
        )
    ]
    source, target_keys = [], []
    for (hit_z, add_z), (hit_y, add_y), (hit_x, add_x) in itertools.product(*reversed(met)):
        rows = torch.nonzero(hit_x & hit_y & hit_z).squeeze(1)
        source.append(rows)
        target_keys.append(first_V[rows] + add_x[rows] + add_y[rows] + add_z[rows])
    keys, output = torch.unique(torch.cat(target_keys), return_inverse=True)
    targets = output.split([len(rows) for rows in source])
    return (x, y, z), keys, KernelMap(tuple(source), targets, None, len(coordinates_V4), len(keys))


def _along(cells_V: Tensor, size: int, step: int, pad: int, limit: int) -> list[tuple[Tensor, Tensor]]:
    """Return, for each offset of a kernel along one axis, (V,) whether a cell meets an output, and (V,) which."""
    found = []
    for offset in range(size):
        place_V = cells_V + (pad - offset)
        target_V = torch.div(place_V, step, rounding_mode="floor")
        found.append(((place_V % step == 0) & (target_V >= 0) & (target_V < limit), target_V))
    return found
