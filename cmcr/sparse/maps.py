"""Which voxel meets which under a kernel: neighbour search by sorted integer keys.

Kernel offsets are numbered as in MinkowskiEngine: x fastest, then y, then z; -1..1 for a kernel of 3 and 0..1 for a
kernel of 2. So published weights of that engine keep their order.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

#: A key holds 17 bits for each of x, y, z and 12 bits for the scan. Neighbours may lie up to MARGIN beyond the bounds.
AXIS_BITS, SCAN_BITS, MARGIN = 17, 12, 64
HIGHEST = 2 ** (AXIS_BITS - 1) - MARGIN


@dataclass(frozen=True, eq=False)
class KernelMap:
    """For each kernel offset, which input row goes to which output row.

    Attributes:
        source: for each offset, (M_k,) int64 rows of the input.
        target: for each offset, (M_k,) int64 rows of the output; within one offset no row stands twice.
        centre: the offset under which every row meets itself (submanifold), or None.
        num_targets: rows of the output.
    """

    source: tuple[Tensor, ...]
    target: tuple[Tensor, ...]
    centre: int | None
    num_targets: int

    def transposed(self, num_targets: int) -> KernelMap:
        """Return the map that goes back, to ``num_targets`` rows."""
        return KernelMap(self.target, self.source, self.centre, num_targets)


def pack(coordinates_V4: Tensor) -> Tensor:
    """Return one int64 key for each (scan, x, y, z); the order of keys is that of the tuples.

    Raises:
        ValueError: a coordinate is beyond what the key's bits hold.
    """
    if len(coordinates_V4):
        scan, position = coordinates_V4[:, 0], coordinates_V4[:, 1:]
        if int(scan.min()) < 0 or int(scan.max()) >= 2**SCAN_BITS or int(position.abs().max()) > HIGHEST:
            raise ValueError(
                f"voxel coordinates must lie within +-{HIGHEST} and scans within 0..{2**SCAN_BITS - 1}, found "
                f"+-{int(position.abs().max())} and {int(scan.min())}..{int(scan.max())}; is the voxel size right?"
            )
    wide = coordinates_V4.long()
    position = wide[:, 1:] + 2 ** (AXIS_BITS - 1)
    return ((wide[:, 0] << AXIS_BITS | position[:, 0]) << AXIS_BITS | position[:, 1]) << AXIS_BITS | position[:, 2]


def unpack(keys: Tensor) -> Tensor:
    """Return the (V, 4) int32 coordinates of ``keys``."""
    mask, half = 2**AXIS_BITS - 1, 2 ** (AXIS_BITS - 1)
    position = [((keys >> (AXIS_BITS * axis)) & mask) - half for axis in (2, 1, 0)]
    return torch.stack([keys >> (3 * AXIS_BITS), *position], dim=1).int()


def kernel_offsets(kernel_size: int) -> list[tuple[int, int, int]]:
    """Return the (x, y, z) offsets of a cubic kernel, x fastest: centred if its size is odd, else from zero up."""
    low = -(kernel_size // 2) if kernel_size % 2 else 0
    side = range(low, low + kernel_size)
    return [(x, y, z) for z, y, x in itertools.product(side, side, side)]


def submanifold_map(keys: Tensor, order: Tensor, kernel_size: int, stride: int) -> KernelMap:
    """Map every voxel to its neighbours within the same set.

    Args:
        keys: (V,) sorted keys.
        order: (V,) row of each key.
        kernel_size: odd.
        stride: of the voxels; offsets are in multiples of it.
    """
    offsets = kernel_offsets(kernel_size)
    centre = len(offsets) // 2
    source: list[Tensor] = [order] * len(offsets)
    target: list[Tensor] = [order] * len(offsets)
    # Offsets k and K-1-k are opposite, so one search serves both. Shifted sorted keys stay sorted, which is what
    # makes the search quick: neighbouring look-ups end in neighbouring memory.
    for k in range(centre):
        x, y, z = (stride * step for step in offsets[k])
        wanted = keys + (x * 2 ** (2 * AXIS_BITS) + y * 2**AXIS_BITS + z)
        place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
        here = torch.nonzero(keys[place] == wanted).squeeze(1)
        neighbour, voxel = order[place[here]], order[here]
        source[k], target[k] = neighbour, voxel
        source[-1 - k], target[-1 - k] = voxel, neighbour
    return KernelMap(tuple(source), tuple(target), centre, len(keys))


def downsampling_map(coordinates_V4: Tensor, stride: int, factor: int) -> tuple[Tensor, KernelMap]:
    """Gather voxels of ``stride`` into coarser ones, ``factor`` times as wide, by rounding down.

    Returns:
        (V', 4) int32 coarse coordinates in the order of their keys, and the map of a ``factor``^3 kernel to them.
    """
    wide = stride * factor
    fine = coordinates_V4[:, 1:]
    coarse = torch.div(fine, wide, rounding_mode="floor") * wide
    keys, parent = torch.unique(pack(torch.cat([coordinates_V4[:, :1], coarse], dim=1)), return_inverse=True)
    corner = (fine - coarse) // stride
    offset = corner[:, 0] + factor * (corner[:, 1] + factor * corner[:, 2])
    source = tuple(torch.nonzero(offset == k).squeeze(1) for k in range(factor**3))
    return unpack(keys), KernelMap(source, tuple(parent[rows] for rows in source), None, len(keys))
