"""Places of which a scan tells whether they are occupied, as in ALSO (arXiv:2212.05867).

The space between the sensor and a return is empty, and right behind the return something is. Places are made from the
points as they come, augmented or not: augmentation turns, mirrors and scales about the sensor, a linear map that takes
each ray from the sensor to a ray from the sensor, so places made afterwards are those made before, turned along.
(Under scaling, the margin is one of the scaled scan.)

Shapes: P points, Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from cmcr.options import Options


class OccupancyQueryOptions(Options):
    """How many queries there are and where (ALSO; Eaphan/CMCR@36654d5:pretrain/dataloader_nuscenes.py:122)."""

    per_scan: PositiveInt = 2048
    """Queries of a scan: a third each behind returns, before them, and anywhere on their rays."""
    margin_m: PositiveFloat = 0.1
    """How far behind or before its return a query of the first two thirds lies at most, in metres."""
    min_range_m: NonNegativeFloat = 1.0
    """Returns nearer to the sensor than this are the vehicle's own roof; they make no queries and meet none. (The
    released code keeps them: 0. On a nuScenes keyframe they are 8,029 of 34,688 points, all within one radius of each
    other, and so 94 % of all meetings of a query and a point.)"""


@dataclass(frozen=True, eq=False)
class OccupancyQueries:
    """Q places on rays of a batch of scans.

    Attributes:
        position_Q3: (Q, 3) float32 metres, in the frame of the points.
        scan_Q: (Q,) int64 scan of each query; rises.
        return_Q: (Q,) int64 row, among the batch's points, of the return on whose ray the query lies.
        occupied_Q: (Q,) bool, True behind the return.
        near_Q: (Q,) bool, True within the margin of the return, so that the return's intensity is the query's.
    """

    position_Q3: Tensor
    scan_Q: Tensor
    return_Q: Tensor
    occupied_Q: Tensor
    near_Q: Tensor

    def __len__(self) -> int:
        return len(self.return_Q)


def places_alone(position_Q3: Tensor, scan_Q: Tensor) -> OccupancyQueries:
    """Return queries at (Q, 3) places of (Q,) scans of which nothing is known: they have no return and no answer."""
    nowhere_Q, no_Q = scan_Q.new_full(scan_Q.shape, -1), torch.zeros_like(scan_Q, dtype=torch.bool)
    return OccupancyQueries(position_Q3, scan_Q, nowhere_Q, no_Q, no_Q)


def is_distant(points_P4: Tensor, min_range_m: float) -> Tensor:
    """Return the (P,) mask of the points at least ``min_range_m`` away from the sensor."""
    return points_P4[:, :3].norm(dim=1) >= min_range_m


def draw_occupancy_queries(
    points_P4: Tensor, scan_P: Tensor, options: OccupancyQueryOptions, generator: torch.Generator
) -> OccupancyQueries:
    """Draw queries on the rays of each scan: first those behind returns, then those before them, then any.

    The returns of each third are drawn without replacement; a scan of fewer returns than that gives fewer queries, and
    one without distant returns none.

    Args:
        points_P4: (P, 4) float32, x y z in metres about the sensor of each scan, augmented or not; intensity.
        scan_P: (P,) int64 scan of each point, from 0; rises.
        options: number and places.
        generator: on the CPU.
    """
    distant_P = is_distant(points_P4, options.min_range_m)
    third = options.per_scan // 3
    numbers = (options.per_scan - 2 * third, third, third)
    chosen, kinds = [scan_P[:0]], [scan_P[:0]]
    for scan in range(int(scan_P.max()) + 1 if len(scan_P) else 0):
        returns = torch.nonzero(distant_P & (scan_P == scan)).squeeze(1)
        for kind, number in enumerate(numbers):
            order = torch.randperm(len(returns), generator=generator)[:number]
            chosen.append(returns[order.to(returns.device)])
            kinds.append(torch.full_like(chosen[-1], kind))
    return_Q, kind_Q = torch.cat(chosen), torch.cat(kinds)
    share_Q = (1 - torch.rand(len(return_Q), generator=generator)).to(points_P4.device)  # in (0, 1]
    xyz_Q3 = points_P4[return_Q, :3]
    range_Q = xyz_Q3.norm(dim=1).clamp(min=torch.finfo(xyz_Q3.dtype).tiny)
    margin_Q = options.margin_m / range_Q
    # Distances along the ray, the return at 1 and the sensor at 0; none lies beyond the sensor.
    along_QK = torch.stack([1 + share_Q * margin_Q, 1 - share_Q * margin_Q.clamp(max=1), 1 - share_Q], dim=1)
    along_Q = along_QK.gather(1, kind_Q[:, None])
    return OccupancyQueries(xyz_Q3 * along_Q, scan_P[return_Q], return_Q, kind_Q == 0, kind_Q < 2)
