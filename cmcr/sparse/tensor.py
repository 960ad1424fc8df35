"""`SparseTensor`: features on occupied voxels, and the coordinates that all layers of a network share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cmcr.sparse.maps import pack, unpack


class Level(NamedTuple):
    """The voxels of one stride.

    Attributes:
        coordinates: (V, 4) int32 scan, x, y, z.
        keys: (V,) int64 packed coordinates, sorted.
        order: (V,) int64 row in ``coordinates`` of each key.
    """

    coordinates: Tensor
    keys: Tensor
    order: Tensor

    @classmethod
    def of(cls, coordinates_V4: Tensor) -> Level:
        """Sort the voxels for look-up."""
        return cls(coordinates_V4, *torch.sort(pack(coordinates_V4)))

    @classmethod
    def of_sorted(cls, keys: Tensor) -> Level:
        """Take the voxels in the order of their sorted keys."""
        return cls(unpack(keys), keys, torch.arange(len(keys), device=keys.device))


@dataclass(eq=False)
class CoordinateCache:
    """The voxels of all strides, and what the engine knows of their neighbours, each made once per input."""

    levels: dict[int, Level] = field(default_factory=dict)
    maps: dict[tuple, Any] = field(default_factory=dict)


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
        if self.features.ndim != 2 or self.coordinates.shape != (len(self.features), 4):
            raise ValueError(
                f"expected (V, C) features and (V, 4) coordinates, "
                f"found {tuple(self.features.shape)} and {tuple(self.coordinates.shape)}"
            )
        if self.stride in self.cache.levels:
            return
        if self.coordinates.is_floating_point():
            raise ValueError(f"expected integer coordinates, found {self.coordinates.dtype}")
        if self.stride > 1 and bool((self.coordinates[:, 1:] % self.stride).any()):
            raise ValueError(f"expected coordinates in multiples of the stride, {self.stride}")
        level = Level.of(self.coordinates)
        if bool((level.keys[1:] == level.keys[:-1]).any()):
            raise ValueError("two rows have the same scan, x, y and z; voxelise first")
        self.cache.levels[self.stride] = level

    def __len__(self) -> int:
        return len(self.features)

    def replace(self, features: Tensor) -> SparseTensor:
        """Return a tensor on the same voxels with other features."""
        return SparseTensor(features, self.coordinates, self.stride, self.cache)

    def at_stride(self, stride: int, features: Tensor) -> SparseTensor:
        """Return a tensor on the voxels of another stride that the cache already holds."""
        return SparseTensor(features, self.cache.levels[stride].coordinates, stride, self.cache)
