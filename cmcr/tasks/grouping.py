"""From centres and offsets to instances, without learning: peaks of the heatmap, and the points that vote for them.

P points, N peaks, S cells along each axis of the bird's-eye grid, K classes. In numpy and on one core, because it is
done once a scan and is a matter of milliseconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree


def find_peaks(heat_SS: NDArray[np.float32], threshold: float, kernel: int, most: int) -> NDArray[np.int64]:
    """Return the (N,) cells ``row * S + column`` of the heatmap's peaks, the highest first.

    A peak is above ``threshold`` and the largest in the window of ``kernel`` squared cells around it, which is what
    max-pooling keeps. Of equal values the first cell is taken to be the larger one, so that a plateau has one peak in
    a window and not as many as it has cells.

    Args:
        heat_SS: (S, S) float32.
        threshold: what is lower is no peak.
        kernel: side of the window in cells, odd.
        most: how many are returned at most.
    """
    side = heat_SS.shape[1]
    cell_M = np.flatnonzero(heat_SS > threshold)
    lowest_first = np.argsort(heat_SS.ravel()[cell_M][::-1], kind="stable")
    rank_M = np.empty(len(cell_M), dtype=np.int64)
    rank_M[::-1][lowest_first] = np.arange(1, len(cell_M) + 1)
    reach = kernel // 2
    ranks = np.zeros((heat_SS.shape[0] + 2 * reach, side + 2 * reach), dtype=np.int64)
    row_M, column_M = np.divmod(cell_M, side)
    ranks[row_M + reach, column_M + reach] = rank_M
    highest_M = np.ones(len(cell_M), dtype=bool)
    for down in range(kernel):
        for right in range(kernel):
            highest_M &= ranks[row_M + down, column_M + right] <= rank_M
    order = np.argsort(-rank_M[highest_M])
    return cell_M[highest_M][order[:most]]


def group_points(
    class_P: NDArray[np.integer],
    vote_P2: NDArray[np.floating],
    centre_N2: NDArray[np.floating],
    things_K: NDArray[np.bool_],
    reach_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give each point of a thing to the nearest centre, and each instance the class of most of its points.

    Args:
        class_P: (P,) predicted class.
        vote_P2: (P, 2) where each point takes its instance's centre to be, in metres; without meaning for stuff.
        centre_N2: (N, 2) centres in metres.
        things_K: (K,) which classes have instances.
        reach_m: points whose vote is farther than this from every centre join no instance.

    Returns:
        (P,) classes, and (P,) instances: 0 for stuff and for points without an instance, otherwise a number from 1 in
        the order of the centres that have points. Of classes with equally many points the first one wins.
    """
    classes, instances = class_P.astype(np.int64), np.zeros(len(class_P), dtype=np.int64)
    thing_M = np.flatnonzero(things_K[classes])
    if not len(thing_M) or not len(centre_N2):
        return classes, instances
    _, nearest_M = KDTree(centre_N2).query(vote_P2[thing_M], distance_upper_bound=reach_m)
    found = nearest_M < len(centre_N2)
    thing_M, nearest_M = thing_M[found], nearest_M[found]
    used, instance_M = np.unique(nearest_M, return_inverse=True)
    kinds = len(things_K)
    votes = np.bincount(kinds * instance_M + classes[thing_M], minlength=kinds * len(used)).reshape(len(used), kinds)
    classes[thing_M] = votes.argmax(axis=1)[instance_M]
    instances[thing_M] = instance_M + 1
    return classes, instances
