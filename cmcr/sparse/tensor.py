"""`SparseTensor`: features on occupied voxels, and the coordinates that all layers of a network share."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cmcr.sparse.maps import KernelMap, pack

#: Coordinates of one stride: the voxels, and where each stands in sorted order.
Level = tuple[Tensor, Tensor, Tensor]


@dataclass(eq=False)
class CoordinateCache:
    """The coordinate sets of all strides and the neighbour maps between them, each made once per input."""

    levels: dict[int, Level] = field(default_factory=dict)
    maps: dict[tuple, KernelMap] = field(default_factory=dict)

    def add_level(self, stride: int, coordinates_V4: Tensor) -> None:
        """Keep the coordinates of a stride, with their keys sorted for look-up."""
        keys, order = torch.sort(pack(coordinates_V4))
        self.levels[stride] = (coordinates_V4, keys, order)


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features of V voxels.

    Attributes:
        features: (V, C) float.
        coordinates: (V, 4) int32: scan, x, y, z in units of the finest voxel; multiples of ``stride``; each once.
        stride: side of these voxels in finest voxels.
        cache: coordinates and maps shared by all tensors of one forward pass.

    Raises:
        ValueError: shapes or types do not fit, a coordinate is beyond what a key holds, or a voxel stands twice.
    """

    features: Tensor
    coordinates: Tensor
    stride: int = 1
    cache: CoordinateCache = field(default_factory=CoordinateCache)

    def __post_init__(self) -> None:
        if self.stride in self.cache.levels:
            return
        if self.features.ndim != 2 or self.coordinates.shape != (len(self.features), 4):
            raise ValueError(
                f"expected (V, C) features and (V, 4) coordinates, "
                f"found {tuple(self.features.shape)} and {tuple(self.coordinates.shape)}"
            )
        if self.coordinates.is_floating_point():
            raise ValueError(f"expected integer coordinates, found {self.coordinates.dtype}")
        self.cache.add_level(self.stride, self.coordinates)
        keys = self.cache.levels[self.stride][1]
        if bool((keys[1:] == keys[:-1]).any()):
            raise ValueError("two rows have the same scan, x, y and z; voxelise first")

    def __len__(self) -> int:
        return len(self.features)

    def replace(self, features: Tensor) -> SparseTensor:
        """Return a tensor on the same voxels with other features."""
        return SparseTensor(features, self.coordinates, self.stride, self.cache)

    def at_stride(self, stride: int, features: Tensor) -> SparseTensor:
        """Return a tensor on the voxels of another stride that the cache already holds."""
        return SparseTensor(features, self.cache.levels[stride][0], stride, self.cache)
