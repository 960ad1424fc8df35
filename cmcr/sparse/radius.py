"""Which points lie near which places: exact search within a radius, by sorted integer keys as in `cmcr.sparse.maps`.

Space is cut into cubes a little wider than the radius. The keys of the cubes of one vertical column follow each other,
so the points around a place lie in 3 x 3 unbroken runs of the sorted points, and only they are measured. All of it is
gathering and sorting, and runs on any device.

Shapes: Q places, P points, M pairs found.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmcr.sparse.maps import pack

#: Cubes are wider than the radius by this much, so that rounding never puts a neighbour two cubes away.
SLACK = 1.001
#: Points measured at a time; it bounds the memory beyond the result.
AT_ONCE = 2**20


def points_within(
    places_Q3: Tensor,
    scan_Q: Tensor,
    points_P3: Tensor,
    scan_P: Tensor,
    radius_m: float,
    at_most: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Pair each place with the points of its own scan that are no further than ``radius_m``.

    Args:
        places_Q3: (Q, 3) metres.
        scan_Q: (Q,) int64 scan of each place, from 0.
        points_P3: (P, 3) metres.
        scan_P: (P,) int64 scan of each point.
        radius_m: above 0.
        at_most: if a place has more points than this, so many of them are kept, spread evenly through the place's
            neighbourhood (which is listed cube by cube); None keeps all.

    Returns:
        (M,) int64 places, rising, and (M,) int64 points. Neither depends on the number of threads.
    """
    keys_P, order_P = pack(_cubes(points_P3, scan_P, radius_m)).sort(stable=True)
    sorted_P3 = points_P3[order_P]
    start_Q9, count_Q9 = _runs(keys_P, _cubes(places_Q3, scan_Q, radius_m))
    places, points = [scan_Q[:0]], [order_P[:0]]
    for part in _parts(count_Q9.sum(dim=1)):
        place, position = _expand(start_Q9[part], count_Q9[part])
        place = place + part.start
        near = (sorted_P3[position] - places_Q3[place]).square().sum(dim=1) <= radius_m**2
        place, position = place[near], position[near]
        if at_most is not None:
            kept = _spread(place, len(places_Q3), at_most)
            place, position = place[kept], position[kept]
        places.append(place)
        points.append(order_P[position])
    return torch.cat(places), torch.cat(points)


def _cubes(places_Q3: Tensor, scan_Q: Tensor, radius_m: float) -> Tensor:
    """Return (Q, 4) scan and cube of each place."""
    cubes = (places_Q3 / (radius_m * SLACK)).floor().long()
    return torch.cat([scan_Q[:, None], cubes], dim=1)


def _runs(keys_P: Tensor, cubes_Q4: Tensor) -> tuple[Tensor, Tensor]:
    """Return (Q, 9) start and length of the runs of sorted points in the columns around each place."""
    lowest_94 = cubes_Q4.new_tensor([[0, x, y, -1] for x in (-1, 0, 1) for y in (-1, 0, 1)])
    lowest = pack((cubes_Q4[:, None] + lowest_94).flatten(0, 1))
    start = torch.searchsorted(keys_P, lowest)
    end = torch.searchsorted(keys_P, lowest + 2, right=True)
    return start.view(-1, 9), (end - start).view(-1, 9)


def _parts(count_Q: Tensor) -> list[slice]:
    """Cut the places into parts with at most `AT_ONCE` points to measure each, or a single place."""
    total = torch.cat([count_Q.new_zeros(1), count_Q.cumsum(0)])
    parts, first = [], 0
    while first < len(count_Q):
        last = int(torch.searchsorted(total, total[first] + AT_ONCE, right=True)) - 1
        parts.append(slice(first, max(last, first + 1)))
        first = parts[-1].stop
    return parts


def _expand(start_Q9: Tensor, count_Q9: Tensor) -> tuple[Tensor, Tensor]:
    """List all positions of all runs, and the row of the place that each belongs to."""
    count = count_Q9.flatten()
    first = start_Q9.flatten() - (count.cumsum(0) - count)
    run = torch.repeat_interleave(count)
    return run // 9, first[run] + torch.arange(len(run), device=run.device)


def _spread(place: Tensor, places: int, at_most: int) -> Tensor:
    """Return the mask of the pairs that are kept: ``at_most`` of each place, at even steps through its list.

    Entry r of n is kept where floor(r * at_most / n) has just risen, which happens ``at_most`` times.
    """
    count = torch.bincount(place, minlength=places)
    rank = torch.arange(len(place), device=place.device) - (count.cumsum(0) - count)[place]
    count = count[place]
    return (count <= at_most) | (rank * at_most % count < at_most)
