"""Occupancy and intensity estimation, as in ALSO (arXiv:2212.05867): L_occ of CMCR (arXiv:2412.08973).

Every query is put to every point near it, and each point has to answer from its feature alone.

Shapes: V voxels, P points, Q queries, M meetings of a query and a point, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cmcr.data.occupancy_queries import OccupancyQueries, OccupancyQueryOptions, is_distant
from cmcr.models.occupancy_head import OccupancyHead, OccupancyHeadOptions
from cmcr.options import Options
from cmcr.sparse.radius import points_within

#: Meetings put through the head at a time. A layer of 128 hidden units is then 8 MB and stays in the cache: 1.6 times
#: faster than with 2**16 on the CPU, where 2**13 to 2**15 are alike.
AT_ONCE = 2**14


class OccupancyOptions(Options):
    """What is asked, whom, and by which network."""

    queries: OccupancyQueryOptions = OccupancyQueryOptions()
    """The places that are asked about."""
    radius_m: PositiveFloat = 1.0
    """A query meets every point that is no further than this, in metres (ALSO, CMCR: 1)."""
    max_neighbours: PositiveInt | None = None
    """Points that one query meets at most, spread over its neighbourhood; null is all of them. (The released code calls
    torch_geometric's ``radius``, whose default keeps the first 32.)"""
    head: OccupancyHeadOptions = OccupancyHeadOptions()
    """The network that answers."""


@dataclass(frozen=True, eq=False)
class Meetings:
    """M meetings of a query and a point of its scan.

    Attributes:
        queries: the Q queries.
        points_P4: (P, 4) x y z in metres, intensity in [0, 1].
        voxel_P: (P,) int64 voxel whose feature is that of the point.
        query_M: (M,) int64 query of each meeting; rises.
        point_M: (M,) int64 point of each meeting.
    """

    queries: OccupancyQueries
    points_P4: Tensor
    voxel_P: Tensor
    query_M: Tensor
    point_M: Tensor

    def __len__(self) -> int:
        return len(self.query_M)

    def parts(self) -> Iterator[Meetings]:
        """Yield the meetings `AT_ONCE` at a time; an empty part if there are none, so that every weight has a use."""
        for first in range(0, max(len(self), 1), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            yield Meetings(self.queries, self.points_P4, self.voxel_P, self.query_M[part], self.point_M[part])

    def of_every(self, number: int) -> Meetings:
        """Return the meetings of each query whose number is a multiple of ``number``."""
        kept = self.query_M % number == 0
        return Meetings(self.queries, self.points_P4, self.voxel_P, self.query_M[kept], self.point_M[kept])

    def ask(self, head: OccupancyHead, projected_VH: Tensor) -> Tensor:
        """Return the (M, 2) answers of ``head``, in float32 at least, so that they can be summed."""
        offset_M3 = self.queries.position_Q3[self.query_M] - self.points_P4[self.point_M, :3]
        answer_M2 = head(projected_VH, self.voxel_P[self.point_M], offset_M3)
        return answer_M2.to(torch.promote_types(answer_M2.dtype, torch.float32))


def meet(
    queries: OccupancyQueries, points_P4: Tensor, scan_P: Tensor, voxel_P: Tensor, options: OccupancyOptions
) -> Meetings:
    """Find the points that each query meets: those of its scan within the radius, the vehicle's own left out."""
    rows = torch.nonzero(is_distant(points_P4, options.queries.min_range_m)).squeeze(1)
    query_M, row_M = points_within(
        queries.position_Q3,
        queries.scan_Q,
        points_P4[rows, :3],
        scan_P[rows],
        options.radius_m,
        options.max_neighbours,
    )
    return Meetings(queries, points_P4, voxel_P, query_M, rows[row_M])


def occupancy_losses(head: OccupancyHead, features_VC: Tensor, meetings: Meetings) -> dict[str, Tensor]:
    """Each point near a query should know whether the query is occupied, and by what intensity.

        L_occupancy = mean over meetings of  -log sigmoid(+-answer),  + where the query is occupied
        L_intensity = mean over meetings of queries near their return of  | answer - intensity of the return |

    A query that meets no point counts in neither; without any meeting both are zero and so is their gradient. The
    answers are not kept for the backward pass but given again, part by part, so memory does not grow with the meetings
    beyond the two numbers that name each.

    Args:
        head: the network that answers.
        features_VC: (V, C) features of the voxels (CMCR: G3D + Q3D).
        meetings: of queries and points.

    Returns:
        ``occupancy`` and ``intensity``, scalars.
    """
    projected_VH = head.project(features_VC)
    sums = features_VC.new_zeros(2)
    for part in meetings.parts():
        sums = sums + checkpoint(_sums, head, projected_VH, part, use_reentrant=False, preserve_rng_state=False)
    near = meetings.queries.near_Q[meetings.query_M].sum()
    return {"occupancy": sums[0] / max(len(meetings), 1), "intensity": sums[1] / near.clamp(min=1)}


def _sums(head: OccupancyHead, projected_VH: Tensor, meetings: Meetings) -> Tensor:
    """Return (2,) sums of both losses over ``meetings``."""
    queries, query_M = meetings.queries, meetings.query_M
    logit_M, answer_M = meetings.ask(head, projected_VH).unbind(dim=1)
    occupied_M = queries.occupied_Q[query_M].to(logit_M.dtype)
    near_M = queries.near_Q[query_M]
    intensity_M = meetings.points_P4[queries.return_Q[query_M], 3].to(answer_M.dtype)
    occupancy = F.binary_cross_entropy_with_logits(logit_M, occupied_M, reduction="sum")
    intensity = ((answer_M - intensity_M).abs() * near_M).sum()
    return torch.stack([occupancy, intensity])


@torch.no_grad()
def estimate_occupancy(head: OccupancyHead, features_VC: Tensor, meetings: Meetings) -> Tensor:
    """Return (Q, 2) occupancy logit and intensity of each query: the mean over the points it meets, NaN if none."""
    projected_VH = head.project(features_VC)
    total_2Q = features_VC.new_zeros(2, len(meetings.queries))
    for part in meetings.parts():
        total_2Q.scatter_add_(1, part.query_M.expand(2, -1), part.ask(head, projected_VH).T)
    return (total_2Q / torch.bincount(meetings.query_M, minlength=len(meetings.queries))).T
