"""Local geometry of a scan's points, from the points alone: what a network may have learned about shape.

Shapes: P points of the scan, N of them that are asked about, K neighbours. LiDAR frame, metres, z up, sensor at 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

#: Neighbours, the point among them, to which a plane is fitted. Chosen here: about two by eight returns of a 32-beam
#: sensor.
NEIGHBOURS: Final = 16
#: A neighbourhood is a surface if it spreads in two directions (the second standard deviation at least this share of
#: the first; along a single beam it is less) ...
MIN_SPREAD: Final = 0.1
#: ... and is flat (the third at most this share of the second). Both chosen here.
MAX_THICKNESS: Final = 0.3
#: The steepest ground, in metres per metre. Chosen here: twice the steepest streets.
MAX_SLOPE: Final = 0.3
#: Ground is looked for in the lowest point of every cell of this edge.
CELL_M: Final = 1.0
#: A point farther than this from one's own tangent plane is of another surface. Chosen here: `MAX_DISTANCE_M` away, a
#: normal that is 5 degrees wrong still finds its own surface within it.
OTHER_SURFACE_M: Final = 0.3
#: Where the nearest other surface is farther than this, the distance is this.
MAX_DISTANCE_M: Final = 3.0


class LocalGeometry(NamedTuple):
    """What surrounds N points; NaN where it is not defined."""

    normal_N3: NDArray[np.float64]
    """Unit vectors across the surface, towards the sensor; NaN where the neighbourhood is no surface."""
    height_N: NDArray[np.float64]
    """Metres above the ground below."""
    distance_N: NDArray[np.float64]
    """Metres to the nearest other surface, at most `MAX_DISTANCE_M`; NaN where there is no normal."""


def local_geometry(points_P3: NDArray[np.float32], chosen_N: NDArray[np.int64]) -> LocalGeometry:
    """Measure the surroundings of the points ``chosen_N`` among all points of their scan."""
    points = np.asarray(points_P3, dtype=np.float64)
    tree = cKDTree(points)
    normal = surface_normals(points, chosen_N, tree)
    distance = distance_to_other_surface(points, chosen_N, normal, tree)
    return LocalGeometry(normal, height_above_ground(points, chosen_N), distance)


def surface_normals(
    points_P3: NDArray[np.float64], chosen_N: NDArray[np.int64], tree: cKDTree | None = None
) -> NDArray[np.float64]:
    """Direction in which a point's neighbourhood varies least, by principal components (Hoppe et al., SIGGRAPH 1992).

    The sign, which principal components leave open, is the one that looks at the sensor.

    Args:
        points_P3: (P, 3) all points.
        chosen_N: (N,) rows of those asked about.
        tree: of ``points_P3``, if there is one.

    Returns:
        (N, 3) unit vectors; NaN where the `NEIGHBOURS` nearest points lie on a line or fill a volume.
    """
    tree = tree or cKDTree(points_P3)
    _, neighbour_NK = tree.query(points_P3[chosen_N], k=np.arange(1, min(NEIGHBOURS, len(points_P3)) + 1))
    offset_NK3 = points_P3[neighbour_NK] - points_P3[neighbour_NK].mean(axis=1, keepdims=True)
    variance_N3, direction_N33 = np.linalg.eigh(np.einsum("nki,nkj->nij", offset_NK3, offset_NK3))
    thin, wide, long = np.sqrt(np.clip(variance_N3, 0, None)).T
    normal_N3 = direction_N33[:, :, 0]
    away_N = np.einsum("ni,ni->n", normal_N3, points_P3[chosen_N]) > 0
    normal_N3 = np.where(away_N[:, None], -normal_N3, normal_N3)
    is_surface_N = (wide > 0) & (wide >= MIN_SPREAD * long) & (thin <= MAX_THICKNESS * wide)
    normal_N3[~is_surface_N] = np.nan
    return normal_N3


def height_above_ground(points_P3: NDArray[np.float64], chosen_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Height of a point above the ground, the highest surface of bounded slope that no point lies below.

    The ground at x is min_c (z_c + s |x - x_c|) over the lowest point c of every cell, with the steepest slope s: the
    cone of slope-based filtering (Vosselman, IAPRS 33, 2000). A slope below s does not tilt it, and under a crown or
    an overhang it is carried in from the side, s metres too high for every metre that the nearest return of the ground
    is away. Returns from below the ground, as of mirrors, pull it down around them.

    Args:
        points_P3: (P, 3) all points.
        chosen_N: (N,) rows of those asked about.

    Returns:
        (N,) metres, never negative.
    """
    cell_P2 = np.floor(points_P3[:, :2] / CELL_M).astype(np.int64)
    order = np.lexsort((points_P3[:, 2], cell_P2[:, 1], cell_P2[:, 0]))
    is_lowest = np.ones(len(order), dtype=bool)
    is_lowest[1:] = (np.diff(cell_P2[order], axis=0) != 0).any(axis=1)
    low_C3 = points_P3[order[is_lowest]]
    ground = []
    for part in np.array_split(points_P3[chosen_N], max(1, len(chosen_N) // 256)):  # keeps the matrix small
        away = np.hypot(part[:, None, 0] - low_C3[None, :, 0], part[:, None, 1] - low_C3[None, :, 1])
        ground.append((low_C3[:, 2] + MAX_SLOPE * away).min(axis=1))
    # Beside the lowest point of its cell the cone may pass above a point of the ground.
    return np.maximum(points_P3[chosen_N, 2] - np.concatenate(ground), 0.0)


def distance_to_other_surface(
    points_P3: NDArray[np.float64],
    chosen_N: NDArray[np.int64],
    normal_N3: NDArray[np.float64],
    tree: cKDTree | None = None,
) -> NDArray[np.float64]:
    """Distance to the nearest point that lies farther than `OTHER_SURFACE_M` from one's own tangent plane.

    It is small at the foot of a wall, under a car or in a crown, and large in the middle of a road or a facade.

    Args:
        points_P3: (P, 3) all points.
        chosen_N: (N,) rows of those asked about.
        normal_N3: (N, 3) their unit normals, NaN where there is none.
        tree: of ``points_P3``, if there is one.

    Returns:
        (N,) metres, at most `MAX_DISTANCE_M`; NaN without normal.
    """
    tree = tree or cKDTree(points_P3)
    distance_N = np.where(np.isnan(normal_N3).any(axis=1), np.nan, MAX_DISTANCE_M)
    has_normal = np.flatnonzero(~np.isnan(distance_N))
    for rows in np.array_split(has_normal, max(1, len(has_normal) // 256)):
        near = tree.query_ball_point(points_P3[chosen_N[rows]], MAX_DISTANCE_M)
        mine = np.repeat(rows, [len(found) for found in near])
        if len(mine):
            offset = points_P3[np.concatenate([np.asarray(found, dtype=np.int64) for found in near])]
            offset = offset - points_P3[chosen_N[mine]]
            other = np.abs(np.einsum("mi,mi->m", offset, normal_N3[mine])) > OTHER_SURFACE_M
            np.minimum.at(distance_N, mine[other], np.linalg.norm(offset[other], axis=1))
    return distance_N
