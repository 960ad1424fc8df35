"""Writing a toy recording in SemanticKITTI's own format (arXiv:1904.01416) on KITTI's odometry layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmcr.data.toy.recording import Keyframe
from cmcr.data.toy.rig import SEMANTIC_KITTI, Matrix
from cmcr.data.toy.world import World
from cmcr.files import atomic_path, write_text

#: The sequences of the splits mini_train and mini_val (``label_maps/semantic_kitti_mini.yaml``).
TRAIN_SEQUENCES = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VALIDATION_SEQUENCES = ("08",)

CAMERA = "image_2"

#: Annotated id of each category of the toy city: standing, and moving where that has an id of its own. A moving cycle
#: is its rider's; barriers are fences, cones other-objects, which the official map ignores. Posts and signs belong to
#: static.manmade in the city, and so to buildings here: parking, trunk, pole and traffic-sign do not occur.
_PEOPLE = ("adult", "child", "construction_worker", "personal_mobility", "police_officer", "stroller", "wheelchair")
_STANDING = {
    "noise": 1,
    "animal": 99,
    **{f"human.pedestrian.{kind}": 30 for kind in _PEOPLE},
    "movable_object.barrier": 51,
    "movable_object.debris": 99,
    "movable_object.pushable_pullable": 99,
    "movable_object.trafficcone": 99,
    "static_object.bicycle_rack": 99,
    "vehicle.bicycle": 11,
    "vehicle.bus.bendy": 13,
    "vehicle.bus.rigid": 13,
    "vehicle.car": 10,
    "vehicle.construction": 20,
    "vehicle.emergency.ambulance": 20,
    "vehicle.emergency.police": 10,
    "vehicle.motorcycle": 15,
    "vehicle.trailer": 20,
    "vehicle.truck": 18,
    "flat.driveable_surface": 40,
    "flat.other": 49,
    "flat.sidewalk": 48,
    "flat.terrain": 72,
    "static.manmade": 50,
    "static.other": 99,
    "static.vegetation": 70,
    "vehicle.ego": 1,
}
#: Of what moves, by the id of what stands; a cycle on its way has a rider.
_MOVING = {10: 252, 11: 253, 13: 257, 15: 255, 18: 258, 20: 259, 30: 254}
_RIDDEN_AND_STANDING = {"vehicle.bicycle": 31, "vehicle.motorcycle": 32}

#: Places of cameras 0 to 3 in the frame of camera 0, metres; those of KITTI, rounded.
_CAMERAS = ((0.0, 0.0, 0.0), (0.537, 0.0, 0.0), (-0.060, 0.0, -0.003), (0.471, -0.003, -0.003))


class SemanticKittiWriter:
    """Writes the keyframes of one sequence below a root, and its text files at the end."""

    def __init__(self, root: Path, sequence: str, world: World):
        self._root, self._name = root, sequence
        self._folder = root / "sequences" / sequence
        self._labels = labels_of_bodies(world)
        self._times_s: list[float] = []
        self._world_from_camera0: list[Matrix] = []
        self._image_size = (0, 0)

    def add(self, number: int, keyframe: Keyframe) -> None:
        """Write keyframe ``number``; keyframes come in order."""
        sweep = keyframe.sweep
        points = sweep.points[:, :4].astype("<f4")
        # KITTI's remissions are hundredths, up to 0.99.
        points[:, 3] = (np.rint(sweep.points[:, 3] * (99 / 255)) / 100).astype("<f4")
        with atomic_path(self._folder / "velodyne" / f"{number:06d}.bin") as path:
            path.write_bytes(points.tobytes())
        with atomic_path(self._folder / "labels" / f"{number:06d}.label") as path:
            path.write_bytes(self._labels[sweep.body].astype("<u4").tobytes())
        picture = keyframe.pictures[CAMERA]
        height, width, _ = picture.pixels.shape
        self._image_size = height, width
        with atomic_path(self._folder / CAMERA / f"{number:06d}.png") as path:
            Image.fromarray(picture.pixels).save(path)
        self._times_s.append(keyframe.time_s)
        world_from_lidar = keyframe.world_from_ego @ SEMANTIC_KITTI.ego_from_lidar()
        self._world_from_camera0.append(world_from_lidar @ np.linalg.inv(camera0_from_lidar()))

    def finish(self) -> dict[str, Any]:
        """Write calibration, poses and times, delete what an earlier, longer sequence left, and say what is here."""
        start = self._times_s[0]
        origin = np.linalg.inv(self._world_from_camera0[0])
        write_text(self._folder / "calib.txt", calibration_text(self._image_size))
        poses = [_row(origin @ pose) for pose in self._world_from_camera0]
        write_text(self._folder / "poses.txt", "".join(f"{pose}\n" for pose in poses))
        write_text(self._folder / "times.txt", "".join(f"{time - start:.6e}\n" for time in self._times_s))
        for folder in ("velodyne", "labels", CAMERA):
            for path in (self._folder / folder).iterdir():
                if not path.stem.isdigit() or int(path.stem) >= len(self._times_s):
                    path.unlink()
        return {"scene": self._name, "scans": len(self._times_s)}


def labels_of_bodies(world: World) -> NDArray[np.uint32]:
    """Return (B,) labels: annotated ids, and for things an instance, from 1, in the upper 16 bits."""
    labels, used = np.zeros(len(world.bodies), np.uint32), 0
    for place, body in enumerate(world.bodies):
        number = _STANDING[body.category]
        if body.track is not None:
            number = _MOVING.get(number, number)
        elif body.ridden:
            number = _RIDDEN_AND_STANDING[body.category]
        if body.is_thing:
            used += 1
        labels[place] = number | (used << 16 if body.is_thing else 0)
    return labels


def camera0_from_lidar() -> Matrix:
    """Return Tr of ``calib.txt``: LiDAR frame to that of camera 0, which sits beside camera 2, the one with images."""
    camera2_from_lidar = np.linalg.inv(SEMANTIC_KITTI.ego_from_camera(CAMERA)) @ SEMANTIC_KITTI.ego_from_lidar()
    camera0_from_camera2 = np.eye(4)
    camera0_from_camera2[:3, 3] = _CAMERAS[2]
    return camera0_from_camera2 @ camera2_from_lidar


def calibration_text(size: tuple[int, int]) -> str:
    """Return ``calib.txt`` for images of ``size`` (height, width): P0 to P3 and Tr."""
    intrinsics = SEMANTIC_KITTI.cameras[CAMERA].intrinsics(size)
    lines = []
    for number, place in enumerate(_CAMERAS):
        camera_from_camera0 = np.eye(4)
        camera_from_camera0[:3, 3] = -np.array(place)
        lines.append(f"P{number}: {_row(intrinsics @ camera_from_camera0[:3])}\n")
    return "".join(lines) + f"Tr: {_row(camera0_from_lidar())}\n"


def _row(matrix: Matrix) -> str:
    return " ".join(f"{value:.12e}" for value in matrix[:3].ravel().tolist())
