"""What is done with every scan on one core, beside the plain way: raw labels to classes, centres to instances."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial.distance import cdist

from bench.measure import Case, Work
from cmcr.data.releases import UNKNOWN, load_release
from cmcr.tasks.grouping import find_peaks, group_points

LABELLED = 120_000
#: Points that are all of things, their instances, and cells along each side of the heatmap, of 0.2 m.
POINTS, INSTANCES, SIDE = 35_000, 150, 512


def label_rivals() -> Mapping[str, Work]:
    """Raw ids of SemanticKITTI to classes: a look-up in a table, and a mask for each id."""
    release = load_release("semantic_kitti")
    ids = np.flatnonzero(release.table != UNKNOWN)
    raw_P = np.random.default_rng(0).choice(ids, LABELLED).astype(np.uint32)

    def table() -> NDArray[np.uint8]:
        return release.table[raw_P & 0xFFFF]

    def masks() -> NDArray[np.uint8]:
        classes = np.zeros(len(raw_P), dtype=release.table.dtype)
        for number in ids:
            classes[raw_P & 0xFFFF == number] = release.table[number]
        return classes

    np.testing.assert_array_equal(table(), masks())
    return {"a table": table, "a mask for each id": masks}


def grouping_rivals() -> Mapping[str, Work]:
    """Peaks of a heatmap and the points that vote for them; and by max-pooling and all distances."""
    rng = np.random.default_rng(0)
    half_m = SIDE * 0.1
    centre_N2 = rng.uniform(0.05 - half_m, half_m - 0.05, (INSTANCES, 2))
    heat_SS = rng.uniform(0, 0.09, (SIDE, SIDE)).astype(np.float32)
    column_N, row_N = ((centre_N2 + half_m) / 0.2).astype(int).T
    for down in range(-4, 5):
        for right in range(-4, 5):
            cells = (row_N + down).clip(0, SIDE - 1), (column_N + right).clip(0, SIDE - 1)
            heat_SS[cells] = np.maximum(heat_SS[cells], np.float32(np.exp(-(down**2 + right**2) / 12)))
    vote_P2 = centre_N2[rng.integers(0, INSTANCES, POINTS)] + rng.normal(0, 0.4, (POINTS, 2))
    class_P, things_K = np.ones(POINTS, dtype=np.int64), np.array([False, True])

    def centres(peaks: NDArray[np.int64]) -> NDArray[np.float64]:
        return (np.column_stack([peaks % SIDE, peaks // SIDE]) + 0.5) * 0.2 - half_m

    def ours() -> object:
        return group_points(class_P, vote_P2, centres(find_peaks(heat_SS, 0.1, 5, 500)), things_K, 3.0)

    def plain() -> object:
        found_N2 = centres(np.flatnonzero((maximum_filter(heat_SS, 5) == heat_SS) & (heat_SS > 0.1)))
        distance_PN = cdist(vote_P2, found_N2)
        return np.where(distance_PN.min(axis=1) < 3, distance_PN.argmin(axis=1), -1)

    return {"peaks by rank, a tree of centres": ours, "max-pooling, all distances": plain}


CASES = {
    "labels": Case(f"raw labels to classes, {LABELLED} points", label_rivals),
    "grouping": Case(f"points to instances, {POINTS} points, {INSTANCES} centres, {SIDE}^2 cells", grouping_rivals),
}
