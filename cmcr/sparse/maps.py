"""Which voxel meets which under a kernel: neighbour search by sorted integer keys.

Kernel offsets are numbered as in MinkowskiEngine: x fastest, then y, then z; -1..1 for a kernel of 3 and 0..1 for a
kernel of 2. So published weights of that engine keep their order.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

#: A key holds 17 bits for each of x, y, z and 12 bits for the scan. Neighbours may lie up to MARGIN beyond the bounds.
AXIS_BITS, SCAN_BITS, MARGIN = 17, 12, 64
HIGHEST = 2 ** (AXIS_BITS - 1) - MARGIN


class Groups(NamedTuple):
    """The M pairs of a `KernelMap`, counted through all offsets, grouped by output row.

    So each row can be summed in a fixed order.

    Attributes:
        pair: (M,) int64 pairs: those of the first row, of the second, and so on; within a row by offset.
        start: (num_targets,) int64 where the pairs of each row begin.
    """

    pair: Tensor
    start: Tensor


@dataclass(frozen=True, eq=False)
class KernelMap:
    """For each kernel offset, which input row meets which output row.

    Attributes:
        source: for each offset, (M_k,) int64 rows of the input.
        target: for each offset, (M_k,) int64 rows of the output; within one offset no row stands twice.
        centre: the offset under which every row meets itself (submanifold), or None. Its pairs are not listed.
        num_sources: rows of the input.
        num_targets: rows of the output.
    """

    source: tuple[Tensor, ...]
    target: tuple[Tensor, ...]
    centre: int | None
    num_sources: int
    num_targets: int

    @cached_property
    def transposed(self) -> KernelMap:
        """The map that goes back."""
        return KernelMap(self.target, self.source, self.centre, self.num_targets, self.num_sources)

    @cached_property
    def sizes(self) -> list[int]:
        """Number of pairs of each offset."""
        return [len(rows) for rows in self.source]

    @cached_property
    def by_target(self) -> Groups:
        """The pairs grouped by output row."""
        target = torch.cat(self.target)
        count = torch.bincount(target, minlength=self.num_targets)
        return Groups(torch.argsort(target, stable=True), count.cumsum(0) - count)


def pack(coordinates_V4: Tensor) -> Tensor:
    """Return one int64 key for each (scan, x, y, z); the order of keys is that of the tuples.

    Raises:
        ValueError: a coordinate is beyond what the key's bits hold.
    """
    wide = coordinates_V4.long()
    if len(wide):
        lowest, highest = wide.min(0).values.tolist(), wide.max(0).values.tolist()
        if lowest[0] < 0 or highest[0] >= 2**SCAN_BITS or min(lowest[1:]) < -HIGHEST or max(highest[1:]) > HIGHEST:
            raise ValueError(
                f"voxel coordinates must lie within +-{HIGHEST} and scans within 0..{2**SCAN_BITS - 1}, found "
                f"{min(lowest[1:])}..{max(highest[1:])} and {lowest[0]}..{highest[0]}; is the voxel size right?"
            )
    position = wide[:, 1:] + 2 ** (AXIS_BITS - 1)
    return ((wide[:, 0] << AXIS_BITS | position[:, 0]) << AXIS_BITS | position[:, 1]) << AXIS_BITS | position[:, 2]


def unpack(keys: Tensor) -> Tensor:
    """Return the (V, 4) int32 coordinates of ``keys``."""
    mask, half = 2**AXIS_BITS - 1, 2 ** (AXIS_BITS - 1)
    position = [((keys >> (AXIS_BITS * axis)) & mask) - half for axis in (2, 1, 0)]
    return torch.stack([keys >> (3 * AXIS_BITS), *position], dim=1).int()


def submanifold_map(keys: Tensor, order: Tensor, kernel_size: int, stride: int) -> KernelMap:
    """Map every voxel to its neighbours within the same set.

    Args:
        keys: (V,) sorted keys, each once.
        order: (V,) row of each key.
        kernel_size: odd.
        stride: of the voxels; offsets are in multiples of it.

    Raises:
        ValueError: the kernel reaches so far that keys of different voxels could be mixed up.
    """
    reach = kernel_size // 2
    if reach * stride > MARGIN:
        raise ValueError(f"a kernel of {kernel_size} at stride {stride} reaches beyond {MARGIN} finest voxels")
    steps = range(-reach, reach + 1)
    empty = order[:0]
    source, target = [empty] * kernel_size**3, [empty] * kernel_size**3
    ended = torch.cat([keys, keys.new_tensor([2**62])])  # so that a place behind the last key can be looked at
    for y, x in itertools.product(steps, steps):
        if (y, x) > (0, 0):
            break  # opposite offsets have the same pairs, the other way round
        wanted = keys + key_step(x * stride, y * stride, -reach * stride)
        # Shifted sorted keys stay sorted, so neighbouring look-ups end in neighbouring memory. One search serves all z:
        # no voxel lies between a wanted key and the next one up, so that one stands in the same place or right after.
        place = torch.searchsorted(keys, wanted)
        for z in steps:
            if (y, x, z) >= (0, 0, 0):
                break
            found = ended[place] == wanted
            voxel = torch.nonzero(found).squeeze(1)
            k = (x + reach) + kernel_size * ((y + reach) + kernel_size * (z + reach))
            source[k] = target[-1 - k] = order[place[voxel]]
            target[k] = source[-1 - k] = order[voxel]
            place, wanted = place + found, wanted + stride
    return KernelMap(tuple(source), tuple(target), len(source) // 2, len(keys), len(keys))


def key_step(x: int, y: int, z: int) -> int:
    """What a step in space adds to a key."""
    return x * 2 ** (2 * AXIS_BITS) + y * 2**AXIS_BITS + z


def downsampling_map(coordinates_V4: Tensor, stride: int, factor: int) -> tuple[Tensor, KernelMap]:
    """Gather voxels of ``stride`` into coarser ones, ``factor`` times as wide, by rounding down.

    Returns:
        (V',) sorted keys of the coarse voxels, and the map of a ``factor``^3 kernel to them in that order.
    """
    wide = stride * factor
    fine = coordinates_V4[:, 1:]
    coarse = torch.div(fine, wide, rounding_mode="floor") * wide
    keys, parent = torch.unique(pack(torch.cat([coordinates_V4[:, :1], coarse], dim=1)), return_inverse=True)
    corner = torch.div(fine - coarse, stride, rounding_mode="floor")
    offset = corner[:, 0] + factor * (corner[:, 1] + factor * corner[:, 2])
    source = tuple(torch.nonzero(offset == k).squeeze(1) for k in range(factor**3))
    return keys, KernelMap(source, tuple(parent[rows] for rows in source), None, len(parent), len(keys))
