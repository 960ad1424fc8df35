"""`Scan`: the one thing every data set yields. Readers make it, everything after them reads only this.

Frames: a pose ``a_from_b`` is the 4x4 matrix that takes homogeneous points of frame b to frame a, so that
``a_from_c = a_from_b @ b_from_c``. The LiDAR frame is that of the data set's own sweep (nuScenes: x right, y forward,
z up; KITTI: x forward, y left, z up), the camera frame has x right, y down, z forward. All lengths are metres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import Boxes3D

#: The label of points that take part in neither loss nor metric, in every data set of the suite.
IGNORE = 0
#: Stands among a scan's instances for a point that the panoptic labels leave out though it has a semantic label.
VOID = -1


@dataclass(frozen=True, eq=False)
class Camera:
    """One image and where it was taken.

    Attributes:
        name: the data set's own channel name, for example ``CAM_FRONT``.
        image_path: the image file; it is decoded only by those who need pixels.
        size: (height, width) of the file in pixels.
        intrinsics: (3, 3) float64, camera frame to pixels.
        camera_from_lidar: (4, 4) float64, LiDAR frame at the sweep's time to camera frame at the *image's* time.
        world_from_lidar: (4, 4) poses whose product leads from the LiDAR frame to the world, in the order in which they
            are applied; empty where the data set knows only ``camera_from_lidar``. Pairing walks them one by one.
        world_from_camera: likewise from the camera frame at the image's time.
        distortion: k1, k2, p1, p2, k3 of a lens (radial and tangential, as OpenCV orders them); None for a pinhole.
    """

    name: str
    image_path: Path
    size: tuple[int, int]
    intrinsics: NDArray[np.float64]
    camera_from_lidar: NDArray[np.float64]
    world_from_lidar: Sequence[NDArray[np.float64]] = ()
    world_from_camera: Sequence[NDArray[np.float64]] = ()
    distortion: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """One LiDAR sweep with what is known of its moment. P points.

    Attributes:
        token: unique within its data set, and the name of prediction files.
        dataset: id of the data set in the config.
        scene: scene or sequence it belongs to.
        points: (P, 4) float32, x y z in metres in the LiDAR frame, intensity in [0, 1].
        cameras: the images of the same moment, in the data set's fixed order; empty if it has none.
        labels: (P,) uint8 training class of each point, `IGNORE` where there is none to learn; None if unlabelled.
        instances: (P,) int32 instance within the scan, 0 for no instance, `VOID` for no part in any panoptic metric;
            None if the data set has none. Two objects of a class never share a number.
        boxes: the labelled things, in the LiDAR frame; None if the data set has none or they were not asked for.
    """

    token: str
    dataset: str
    scene: str
    points: NDArray[np.float32]
    cameras: Sequence[Camera]
    labels: NDArray[np.uint8] | None
    instances: NDArray[np.int32] | None
    boxes: Boxes3D | None = None

    def select(self, kept_P: NDArray[np.bool_]) -> Scan:
        """Return this scan with the points that the (P,) mask ``kept_P`` names, their labels, and all boxes."""
        return dataclasses.replace(
            self,
            points=self.points[kept_P],
            labels=None if self.labels is None else self.labels[kept_P],
            instances=None if self.instances is None else self.instances[kept_P],
        )
