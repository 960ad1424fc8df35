"""`Boxes3D`: the labelled things of a scan, in its LiDAR frame."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Corners of a box in halves of its length, width and height: the floor anticlockwise from the front left, then the
#: roof likewise.
CORNERS = np.array([[x, y, z] for z in (-1, 1) for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))], dtype=np.float64)
#: Its edges, as pairs of corners.
EDGES = np.array([(n + m, (n + 1) % 4 + m) for m in (0, 4) for n in range(4)] + [(n, n + 4) for n in range(4)])


@dataclass(frozen=True, eq=False)
class Boxes3D:
    """N boxes that stand upright.

    Attributes:
        geometry: (N, 7) float64 x, y, z of the centre, length along the heading, width, height in metres; yaw in
            radians, the angle from the LiDAR frame's x axis to the heading, towards y.
        classes: (N,) int64 training class, 0 for things of none of the classes.
        velocity: (N, 2) float64 metres a second along the LiDAR frame's x and y, NaN where it is not known; None where
            the data set has none.
        num_points: (N,) int64 returns that the labels count in each box, whatever was done to the scan since; None
            where the data set does not count them.
    """

    geometry: NDArray[np.float64]
    classes: NDArray[np.int64]
    velocity: NDArray[np.float64] | None = None
    num_points: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        number = len(self.geometry)
        if self.geometry.shape != (number, 7) or self.classes.shape != (number,):
            raise ValueError(
                f"expected (N, 7) boxes and (N,) classes, found {self.geometry.shape} and {self.classes.shape}"
            )
        if self.velocity is not None and self.velocity.shape != (number, 2):
            raise ValueError(f"expected ({number}, 2) velocities, found {self.velocity.shape}")
        if self.num_points is not None and self.num_points.shape != (number,):
            raise ValueError(f"expected ({number},) numbers of points, found {self.num_points.shape}")

    def __len__(self) -> int:
        return len(self.geometry)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Boxes3D:
        """Return the boxes at ``chosen``, a mask (N,) or row numbers."""
        velocity = None if self.velocity is None else self.velocity[chosen]
        num_points = None if self.num_points is None else self.num_points[chosen]
        return Boxes3D(self.geometry[chosen], self.classes[chosen], velocity, num_points)

    def with_points(self) -> Boxes3D:
        """Return the boxes in which the labels count a return; all of them where the data set does not count."""
        return self if self.num_points is None else self.select(self.num_points > 0)

    def changed(self, matrix_33: NDArray[np.float64]) -> Boxes3D:
        """Return the boxes after every point x of the scan became ``matrix @ x``.

        Args:
            matrix_33: a turn about z, mirrors of x and y, and one factor for all axes, in any order, as
                `cmcr.data.augment.augment_points` returns them.
        """
        geometry = self.geometry.copy()
        geometry[:, :3] = self.geometry[:, :3] @ matrix_33.T
        geometry[:, 3:6] *= np.abs(np.linalg.det(matrix_33)) ** (1 / 3)
        heading = np.column_stack([np.cos(geometry[:, 6]), np.sin(geometry[:, 6])]) @ matrix_33[:2, :2].T
        geometry[:, 6] = np.arctan2(heading[:, 1], heading[:, 0])
        velocity = None if self.velocity is None else self.velocity @ matrix_33[:2, :2].T
        return dataclasses.replace(self, geometry=geometry, velocity=velocity)


def join(parts: list[Boxes3D]) -> Boxes3D:
    """Put boxes of one frame together, in order; velocities and numbers of points only where all parts have them."""
    velocities = [part.velocity for part in parts if part.velocity is not None]
    counts = [part.num_points for part in parts if part.num_points is not None]
    return Boxes3D(
        np.concatenate([part.geometry for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate(velocities) if len(velocities) == len(parts) else None,
        np.concatenate(counts) if len(counts) == len(parts) else None,
    )


def corners(geometry_N7: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (N, 8, 3) corners, in the order of `CORNERS`."""
    local = CORNERS * geometry_N7[:, None, 3:6] / 2
    cosine, sine = np.cos(geometry_N7[:, 6])[:, None], np.sin(geometry_N7[:, 6])[:, None]
    x, y, z = np.moveaxis(local, -1, 0)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], -1) + geometry_N7[:, None, :3]


def in_box_frame(points_P3: NDArray[np.floating], box_7: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (P, 3) points as a box sees them: from its centre, x along its heading, y to its left."""
    x, y, z = (np.asarray(points_P3, dtype=np.float64)[:, :3] - box_7[:3]).T
    cosine, sine = np.cos(box_7[6]), np.sin(box_7[6])
    return np.column_stack([cosine * x + sine * y, cosine * y - sine * x, z])


def points_in_box(points_P3: NDArray[np.floating], box_7: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the (P,) mask of the points inside one box or on its surface."""
    return (np.abs(in_box_frame(points_P3, box_7)) <= box_7[3:6] / 2).all(axis=1)
