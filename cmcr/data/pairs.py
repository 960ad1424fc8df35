"""Which point of a scan is seen by which pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmcr.data.scan import Camera


@dataclass(frozen=True, eq=False)
class Pairs:
    """N matches of a point and a pixel. A point may be seen by several cameras, and then has several pairs.

    Attributes:
        point: (N,) int64 point of the scan.
        camera: (N,) int64 camera of the scan.
        row, column: (N,) int64 pixel of that camera's image at its full resolution.
    """

    point: NDArray[np.int64]
    camera: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.point)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Pairs:
        """Return the pairs at ``chosen``, a mask (N,) or row numbers."""
        return Pairs(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def pair_points_with_pixels(
    points_P4: NDArray[np.float32], cameras: Sequence[Camera], min_depth_m: float = 1.0
) -> Pairs:
    """Match each point with the pixels it projects to: cameras in their order, points ascending within a camera.

    A point is seen if it lies more than ``min_depth_m`` in front of the camera and its projection (u, v), not yet
    rounded, falls strictly between the centres of the image's outermost pixels (0 < u < W - 1, 0 < v < H - 1). Its
    pixel is the nearest one, halves to the even number. Occlusion is not looked at. This is the rule of SLidR
    (valeoai/SLidR@14729d0, pretrain/dataloader_nuscenes.py, ``map_pointcloud_to_image``).

    Args:
        points_P4: (P, 4) or (P, 3) float32, x y z in metres in the LiDAR frame.
        cameras: of the same scan.
        min_depth_m: nearer points are left out; SLidR's 1 m keeps the vehicle's own parts away.
    """
    xyz_3P = np.ascontiguousarray(points_P4[:, :3].T, dtype=np.float32)
    upward: Sequence[NDArray[np.float64]] | None = None
    parts = []
    for number, camera in enumerate(cameras):
        poses = camera.world_from_lidar or (camera.camera_from_lidar,)
        if poses is not upward:  # the cameras of one scan share their way up
            upward, world_3P = poses, _ascend(xyz_3P, poses)
        point, row, column = _visible(_descend(world_3P, camera.world_from_camera), camera, min_depth_m)
        parts.append((point, np.full(len(point), number), row, column))
    if not parts:
        return Pairs(*np.empty((4, 0), dtype=np.int64))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


# The published pairs were made by nuscenes-devkit, whose `LidarPointCloud` holds points as float32 and rounds after
# every rotation and every translation. Global coordinates of a kilometre are then 0.06 mm coarse, which moves about 3
# pixels in 1000 by one; the walk below rounds at the same places, so that ours are the same pairs, not nearly the same.


def _ascend(xyz_3P: NDArray[np.float32], poses: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    for pose in poses:
        xyz_3P = (pose[:3, :3] @ xyz_3P).astype(np.float32) + pose[:3, 3:].astype(np.float32)
    return xyz_3P


def _descend(xyz_3P: NDArray[np.float32], poses: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    for pose in reversed(poses):
        xyz_3P = (pose[:3, :3].T @ (xyz_3P - pose[:3, 3:].astype(np.float32))).astype(np.float32)
    return xyz_3P


def _visible(
    xyz_3P: NDArray[np.float32], camera: Camera, min_depth_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return point, row and column of what ``camera`` sees of points in its own frame."""
    height, width = camera.size
    before = np.flatnonzero(xyz_3P[2] > min_depth_m)
    rays_3P: NDArray[np.floating] = xyz_3P
    if camera.distortion is not None:
        before, rays_3P = _through_lens(before, xyz_3P, camera.distortion)
    u, v, w = camera.intrinsics @ rays_3P[:, before]
    u, v = u / w, v / w
    inside = (u > 0) & (u < width - 1) & (v > 0) & (v < height - 1)
    return before[inside], np.round(v[inside]).astype(np.int64), np.round(u[inside]).astype(np.int64)


#: A lens moves no point by a larger share of its distance from the centre. Where its polynomial says so, the point is
#: far outside the image, where it was never fitted (Waymo's camera_model.cc takes the same bounds).
_FARTHEST_SHIFT = 0.2


def _through_lens(
    before: NDArray[np.intp], xyz_3P: NDArray[np.float32], distortion: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which points the lens can show, and (3, P) directions behind it, of length one along the axis.

    Radial and tangential distortion of Brown (1966), in the form of OpenCV.
    """
    k1, k2, p1, p2, k3 = distortion
    bent_3P = np.ones(xyz_3P.shape)
    x, y = xyz_3P[:2, before].astype(np.float64) / xyz_3P[2, before]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent_3P[0, before] = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_3P[1, before] = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return before[np.abs(radial - 1) <= _FARTHEST_SHIFT], bent_3P
