"""The recording vehicles: where their sensors sit, when they fire, and a vehicle's pose at any time.

Frames: ego x forward, y left, z up, origin on the ground below the rear axle; cameras x right, y down, z forward; the
LiDAR's is the data set's own. A pose ``a_from_b`` is 4x4 and takes points of frame b to frame a.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi, radians, sin

import numpy as np
from numpy.typing import NDArray

from cmcr.data.toy.world import World

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Mounting:
    """A sensor's place: translation in the ego frame in metres, viewing direction in degrees (yaw left, pitch up)."""

    translation: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float

    def ego_from_sensor(self, axes: Matrix) -> Matrix:
        """Pose of the sensor; ``axes`` (3, 3) has its x, y and z axes, for a view straight ahead, as columns."""
        pose = np.eye(4)
        pose[:3, :3] = _turn_z(radians(self.yaw_deg)) @ _turn_y(-radians(self.pitch_deg)) @ axes
        pose[:3, 3] = self.translation
        return pose


@dataclass(frozen=True)
class CameraMounting(Mounting):
    """A camera: focal length and principal point in pixels of images of ``full_size`` (height, width), and the time it
    fires before the sweep's end.
    """

    focal: float
    centre: tuple[float, float]
    before_s: float
    full_size: tuple[int, int]

    def intrinsics(self, size: tuple[int, int]) -> Matrix:
        """(3, 3) camera frame to pixels of images of ``size`` (height, width); the first pixel is centred at (0, 0)."""
        scale_y, scale_x = size[0] / self.full_size[0], size[1] / self.full_size[1]
        return np.array(
            [
                [self.focal * scale_x, 0.0, (self.centre[0] + 0.5) * scale_x - 0.5],
                [0.0, self.focal * scale_y, (self.centre[1] + 0.5) * scale_y - 0.5],
                [0.0, 0.0, 1.0],
            ]
        )


@dataclass(frozen=True)
class LidarMounting(Mounting):
    """A spinning LiDAR: the axes of its frame for a view straight ahead, as columns in the ego frame, and its beams."""

    axes: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    elevations_deg: tuple[float, ...]
    """Of the rings, from the lowest up."""
    max_range_m: float


#: A camera's axes as columns, for a view straight ahead in the ego frame.
CAMERA_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Rig:
    """The sensors of one vehicle."""

    lidar: LidarMounting
    cameras: Mapping[str, CameraMounting]
    """By the data set's own names, in its order."""

    def ego_from_camera(self, name: str) -> Matrix:
        """Pose of a camera on the vehicle."""
        return self.cameras[name].ego_from_sensor(CAMERA_AXES)

    def ego_from_lidar(self) -> Matrix:
        """Pose of the LiDAR on the vehicle."""
        return self.lidar.ego_from_sensor(np.array(self.lidar.axes))


_NUSCENES_IMAGE = (900, 1600)

#: A real nuScenes vehicle (v1.0-mini, calibration and time stamps of scene-0061), rounded; LiDAR x right, y forward.
NUSCENES = Rig(
    LidarMounting(
        (0.944, 0.0, 1.840),
        0.12,
        -1.39,
        axes=((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
        elevations_deg=tuple(np.linspace(-30.67, 10.67, 32).tolist()),
        max_range_m=70.0,
    ),
    {
        "CAM_FRONT": CameraMounting(
            (1.701, 0.016, 1.511), 0.33, -0.32, 1266.4, (816.3, 491.5), 0.0355, _NUSCENES_IMAGE
        ),
        "CAM_FRONT_RIGHT": CameraMounting(
            (1.551, -0.493, 1.496), -56.40, -0.78, 1260.8, (808.0, 495.3), 0.0276, _NUSCENES_IMAGE
        ),
        "CAM_BACK_RIGHT": CameraMounting(
            (1.015, -0.481, 1.562), -110.79, -0.93, 1259.5, (807.3, 501.2), 0.0201, _NUSCENES_IMAGE
        ),
        "CAM_BACK": CameraMounting((0.028, 0.003, 1.579), 179.86, 0.96, 809.2, (829.2, 481.8), 0.0104, _NUSCENES_IMAGE),
        "CAM_BACK_LEFT": CameraMounting(
            (1.036, 0.485, 1.591), 108.60, -0.92, 1256.7, (792.1, 492.8), 0.0005, _NUSCENES_IMAGE
        ),
        "CAM_FRONT_LEFT": CameraMounting(
            (1.524, 0.495, 1.509), 55.16, 0.14, 1272.6, (826.6, 479.8), 0.0431, _NUSCENES_IMAGE
        ),
    },
)


#: KITTI's camera 2 stands so far to the left of camera 0, whose rectified frame the object labels are in.
KITTI_BASELINE_M = 0.06

_HDL64 = LidarMounting(
    (0.76, 0.0, 1.73),
    0.0,
    0.0,
    axes=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    elevations_deg=(*np.linspace(-24.9, -8.83, 32).tolist(), *np.linspace(-8.33, 2.0, 32).tolist()),
    max_range_m=80.0,
)
_KITTI_CAMERA = CameraMounting((1.03, KITTI_BASELINE_M, 1.65), 0.0, 0.0, 721.5, (609.6, 172.9), 0.0, (375, 1242))

#: KITTI's vehicle (doi 10.1177/0278364913491297, figure 3; cameras as calibrated on 26 September 2011), rounded. LiDAR
#: x forward, y left; HDL-64E: 32 beams below of half a degree each, 32 above of a third. The camera fires at the end of
#: the sweep, because SemanticKITTI has one pose for both.
SEMANTIC_KITTI = Rig(_HDL64, {"image_2": _KITTI_CAMERA})

#: The same for the object benchmark: the LiDAR leans like that of the real calibration, and the camera fires when the
#: LiDAR, half through its turn, looks ahead.
KITTI = Rig(
    dataclasses.replace(_HDL64, pitch_deg=-0.6), {"image_2": dataclasses.replace(_KITTI_CAMERA, before_s=0.025)}
)

_WAYMO_FRONT, _WAYMO_SIDE = (1280, 1920), (886, 1920)

#: A vehicle like Waymo's, whose frame is the ego frame. Its five cameras look forward and to the sides, and fire
#: together with the sweep's end; their places and angles are round numbers.
WAYMO = Rig(
    LidarMounting(
        (1.43, 0.0, 2.18),
        0.0,
        0.0,
        axes=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        elevations_deg=tuple(np.linspace(-17.6, 2.4, 64).tolist()),
        max_range_m=75.0,
    ),
    {
        "FRONT": CameraMounting((1.54, 0.0, 2.12), 0.0, 0.0, 2060.0, (960.0, 640.0), 0.0, _WAYMO_FRONT),
        "FRONT_LEFT": CameraMounting((1.49, 0.1, 2.12), 45.0, 0.0, 2060.0, (960.0, 640.0), 0.0, _WAYMO_FRONT),
        "FRONT_RIGHT": CameraMounting((1.49, -0.1, 2.12), -45.0, 0.0, 2060.0, (960.0, 640.0), 0.0, _WAYMO_FRONT),
        "SIDE_LEFT": CameraMounting((1.43, 0.12, 2.12), 90.0, 0.0, 2060.0, (960.0, 240.0), 0.0, _WAYMO_SIDE),
        "SIDE_RIGHT": CameraMounting((1.43, -0.12, 2.12), -90.0, 0.0, 2060.0, (960.0, 240.0), 0.0, _WAYMO_SIDE),
    },
)


def world_from_ego(world: World, time_s: float) -> Matrix:
    """Pose of the vehicle, which nods and rolls a little on its springs."""
    place = world.ego.at(time_s)
    pose = np.eye(4)
    nod, roll = 0.004 * sin(2 * pi * time_s / 1.7), 0.006 * sin(2 * pi * time_s / 2.9)
    pose[:3, :3] = _turn_z(place.yaw) @ _turn_y(nod) @ _turn_x(roll)
    pose[:3, 3] = place[:3]
    return pose


def _turn_x(angle: float) -> Matrix:
    return np.array([[1, 0, 0], [0, cos(angle), -sin(angle)], [0, sin(angle), cos(angle)]])


def _turn_y(angle: float) -> Matrix:
    return np.array([[cos(angle), 0, sin(angle)], [0, 1, 0], [-sin(angle), 0, cos(angle)]])


def _turn_z(angle: float) -> Matrix:
    return np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]])
