"""Writing toy recordings in the format of KITTI's object benchmark; see `cmcr.data.kitti_index` for its folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.kitti_camera import objects_in_image
from cmcr.data.kitti_labels import DONT_CARE, KittiObjects, join, write_objects
from cmcr.data.kitti_names import CAMERA, frame_paths
from cmcr.data.scan import Camera
from cmcr.data.toy.recording import Keyframe, Picture, Sighting
from cmcr.data.toy.rig import KITTI, KITTI_BASELINE_M
from cmcr.data.toy.world import Body, World
from cmcr.errors import ConfigError
from cmcr.files import atomic_path, write_text

VERSION = "training"
#: The drives that the splits can have. Frames are numbered through all of them, a thousand to each.
TRAIN_DRIVES = tuple(f"kitti-drive-{number:02d}" for number in range(40))
VALIDATION_DRIVES = tuple(f"kitti-drive-{number:02d}" for number in range(40, 50))
_FRAMES_OF_DRIVE = 1000

#: Distance of a box's faces from the body, so that points with range noise lie within, as annotators draw them.
BOX_MARGIN_M = 0.05
#: A closed body of at least this height with windows is a Van and not a Car.
_VAN_HEIGHT_M = 1.85
#: Shares of a thing that must be in view for the levels of occlusion 0 and 1.
_VISIBLE, _PARTLY_VISIBLE = 0.8, 0.4
#: A thing with fewer returns than this becomes a DontCare region; one of which less is in the image is left out.
_MIN_POINTS, _MIN_IN_IMAGE = 5, 0.05

_TYPE_OF_CATEGORY = {
    "human.pedestrian.adult": "Pedestrian",
    "human.pedestrian.child": "Pedestrian",
    "human.pedestrian.construction_worker": "Pedestrian",
    "human.pedestrian.police_officer": "Pedestrian",
    "human.pedestrian.personal_mobility": "Misc",
    "human.pedestrian.stroller": "Misc",
    "human.pedestrian.wheelchair": "Misc",
    "vehicle.truck": "Truck",
    "vehicle.bus.rigid": "Truck",
    "vehicle.trailer": "Misc",
    "vehicle.construction": "Misc",
}


def kitti_type(body: Body) -> str | None:
    """Return the type that KITTI's annotators would give a body; None where they would not label it."""
    if body.category == "vehicle.car":
        return "Van" if np.ptp(body.mesh.bounds[:, 2]) >= _VAN_HEIGHT_M else "Car"
    if body.category in ("vehicle.bicycle", "vehicle.motorcycle"):
        rider = "Cyclist" if body.category == "vehicle.bicycle" else "Misc"
        return rider if body.ridden else None
    return _TYPE_OF_CATEGORY.get(body.category)


class KittiWriter:
    """Writes one drive."""

    def __init__(self, root: Path, drive: str, world: World):
        self.root, self.drive, self.world = root, drive, world
        self.frames: list[str] = []

    def add(self, number: int, keyframe: Keyframe) -> None:
        """Write the frame of keyframe ``number``.

        Raises:
            ConfigError: it is one too many.
        """
        if number >= _FRAMES_OF_DRIVE:
            raise ConfigError(f"toy.keyframes: a drive of KITTI has at most {_FRAMES_OF_DRIVE} frames here")
        drives = TRAIN_DRIVES + VALIDATION_DRIVES
        self.frames.append(f"{drives.index(self.drive) * _FRAMES_OF_DRIVE + number:06d}")
        write_frame(self.root, self.frames[-1], keyframe, self.world)

    def finish(self) -> dict[str, object]:
        """Return the drive's part: its name and its frames."""
        return {"scene": self.drive, "frames": self.frames}


def write_frame(root: Path, frame: str, keyframe: Keyframe, world: World) -> None:
    """Write sweep, image, calibration and labels of one frame.

    Everything is told as of the image's time, because the benchmark has one calibration and no motion of the vehicle.
    """
    paths = {folder: root / path for folder, path in frame_paths(VERSION, frame).items()}
    picture = keyframe.pictures[CAMERA]
    lidar_from_world = np.linalg.inv(picture.world_from_ego @ KITTI.ego_from_lidar())
    with atomic_path(paths["velodyne"]) as path:
        later = lidar_from_world @ keyframe.world_from_ego @ KITTI.ego_from_lidar()
        xyz = keyframe.sweep.points[:, :3].astype(np.float64) @ later[:3, :3].T + later[:3, 3]
        path.write_bytes(np.column_stack([xyz, keyframe.sweep.points[:, 3] / 255]).astype("<f4").tobytes())
    with atomic_path(paths[CAMERA]) as path:
        Image.fromarray(picture.pixels).save(path)
    rectified_from_lidar, camera = _calibration(picture)
    shift = camera.intrinsics @ (camera.camera_from_lidar - rectified_from_lidar)[:3, 3]
    write_text(paths["calib"], _calibration_text(np.column_stack([camera.intrinsics, shift]), rectified_from_lidar))
    found = [
        _object(sighting, world, lidar_from_world, rectified_from_lidar, camera) for sighting in keyframe.sightings
    ]
    # The nearest first, as things are in sight; the evaluation takes them in the file's order.
    objects = join([each for each in found if each is not None])
    order = np.lexsort((objects.location[:, 2], objects.name == DONT_CARE))
    write_objects(paths["label_2"], objects.select(order))


def _calibration(picture: Picture) -> tuple[NDArray[np.float64], Camera]:
    """Return the pose from the LiDAR to the rectified camera 0, and camera 2."""
    height, width, _ = picture.pixels.shape
    camera_from_lidar = np.linalg.inv(KITTI.ego_from_camera(CAMERA)) @ KITTI.ego_from_lidar()
    rectified_from_lidar = camera_from_lidar.copy()
    rectified_from_lidar[0, 3] -= KITTI_BASELINE_M
    intrinsics = KITTI.cameras[CAMERA].intrinsics((height, width))
    return rectified_from_lidar, Camera(CAMERA, Path(), (height, width), intrinsics, camera_from_lidar)


def _calibration_text(projection: NDArray[np.float64], rectified_from_lidar: NDArray[np.float64]) -> str:
    """Return the file's lines; camera 0 is rectified already."""
    matrices = {"P2": projection, "R0_rect": np.eye(3), "Tr_velo_to_cam": rectified_from_lidar[:3]}
    return "".join(f"{name}: {' '.join(f'{v:.12e}' for v in m.ravel())}\n" for name, m in matrices.items())


def _object(
    sighting: Sighting,
    world: World,
    lidar_from_world: NDArray[np.float64],
    rectified_from_lidar: NDArray[np.float64],
    camera: Camera,
) -> KittiObjects | None:
    """Return the label of one thing, or None if it has none."""
    body = world.bodies[sighting.body]
    name = kitti_type(body)
    if name is None or sighting.num_points == 0:
        return None
    geometry = _box(body, sighting, lidar_from_world)
    boxes = Boxes3D(geometry[None], np.zeros(1, dtype=np.int64))
    objects = objects_in_image(boxes, rectified_from_lidar, camera, (name,))
    if len(objects) == 0 or objects.truncation[0] > 1 - _MIN_IN_IMAGE:
        return None
    if sighting.num_points < _MIN_POINTS:
        return _region(objects)
    level = 0 if sighting.visibility >= _VISIBLE else 1 if sighting.visibility >= _PARTLY_VISIBLE else 2
    return dataclasses.replace(objects, occlusion=np.array([level]))


def _box(body: Body, sighting: Sighting, lidar_from_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (7,) box in the LiDAR frame; see `cmcr.boxes.boxes3d.Boxes3D`."""
    low, high = body.mesh.bounds.astype(np.float64)
    cosine, sine = np.cos(sighting.pose.yaw), np.sin(sighting.pose.yaw)
    x, y, z = (low + high) / 2
    centre = np.array([cosine * x - sine * y, sine * x + cosine * y, z]) + sighting.pose[:3]
    heading = lidar_from_world[:3, :3] @ (cosine, sine, 0.0)
    return np.concatenate(
        [
            lidar_from_world[:3, :3] @ centre + lidar_from_world[:3, 3],
            high - low + 2 * BOX_MARGIN_M,
            [np.arctan2(heading[1], heading[0])],
        ]
    )


def _region(objects: KittiObjects) -> KittiObjects:
    """Return one object's 2D box as a DontCare region."""
    return KittiObjects(
        name=np.array([DONT_CARE]),
        truncation=np.array([-1.0]),
        occlusion=np.array([-1]),
        alpha=np.array([-10.0]),
        image_box=objects.image_box,
        size=np.full((1, 3), -1.0),
        location=np.full((1, 3), -1000.0),
        rotation_y=np.array([-10.0]),
    )
