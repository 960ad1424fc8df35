"""Boxes in an image: the 2D box around what a camera sees of a 3D box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import EDGES, corners
from cmcr.data.scan import Camera

#: What is nearer to the camera's plane than this, in metres, is cut off before it is projected.
NEAR_M = 0.1


def project_edges(geometry_N7: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Return (N, 12, 2, 2) both ends (column, row) of each box's edges, cut `NEAR_M` before the camera.

    An edge that lies behind the camera altogether is NaN. The image's borders cut nothing.
    """
    pose = camera.camera_from_lidar
    seen_N83 = corners(geometry_N7) @ pose[:3, :3].T + pose[:3, 3]
    start, end = seen_N83[:, EDGES[:, 0]], seen_N83[:, EDGES[:, 1]]
    ends = []
    for here, there in ((start, end), (end, start)):
        behind = here[..., 2] < NEAR_M
        step = there[..., 2] - here[..., 2]
        share = np.divide(NEAR_M - here[..., 2], step, out=np.zeros_like(step), where=behind & (step > 0))
        moved = here + share[..., None] * (there - here)
        moved[behind & (there[..., 2] < NEAR_M)] = np.nan
        pixels = moved @ camera.intrinsics.T
        ends.append(pixels[..., :2] / pixels[..., 2:])
    return np.stack(ends, axis=2)


def image_boxes(geometry_N7: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Return (N, 4) left, top, right, bottom in pixels around each box, which may lie outside the image; NaN behind."""
    ends = project_edges(geometry_N7, camera).reshape(len(geometry_N7), 2 * len(EDGES), 2)
    is_seen = ~np.isnan(ends[..., 0]).all(axis=1)
    out = np.full((len(geometry_N7), 4), np.nan)
    out[is_seen, :2] = np.nanmin(ends[is_seen], axis=1)
    out[is_seen, 2:] = np.nanmax(ends[is_seen], axis=1)
    return out


def clip_to_image(boxes_N4: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Move the sides of 2D boxes that lie outside an image of ``size`` (height, width) to its border; NaN stays."""
    height, width = size
    return np.clip(boxes_N4, 0, np.array([width - 1, height - 1, width - 1, height - 1]))
