"""Writing a toy recording for Waymo's format, in a form between: `workflow/waymo/pack.py` makes a TFRecord of it.

Waymo's protos need an environment of their own, and rendering needs this one. So a drive is its part of the city (JSON)
and, for each frame, an npz of its sweep and the JPEG images. Shapes: P points, A columns of a sweep.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmcr.data.image_files import write_jpeg
from cmcr.data.toy.lidar import column_times
from cmcr.data.toy.recording import Keyframe
from cmcr.data.toy.rig import WAYMO, world_from_ego
from cmcr.data.toy.world import World
from cmcr.files import atomic_path

#: Every so many frames one has labels of its points, as Waymo annotates about two of its ten frames a second.
LABELLED_EVERY: Final = 2

#: Waymo's class of each annotated category (segmentation.proto); what is not here is undefined, 0.
_CLASS_OF_CATEGORY: Final = {
    "vehicle.car": 1,
    "vehicle.truck": 2,
    "vehicle.trailer": 2,
    "vehicle.bus.rigid": 3,
    "vehicle.bus.bendy": 3,
    "vehicle.construction": 4,
    "human.pedestrian.adult": 7,
    "human.pedestrian.child": 7,
    "human.pedestrian.construction_worker": 7,
    "human.pedestrian.police_officer": 7,
    "movable_object.trafficcone": 11,
    "vehicle.bicycle": 12,
    "vehicle.motorcycle": 13,
    "static.manmade": 14,
    "static.vegetation": 15,
    "flat.driveable_surface": 18,
    "flat.other": 20,
    "flat.terrain": 20,
    "flat.sidewalk": 22,
}
#: Waymo's type of a box (label.proto): vehicle, pedestrian, cyclist.
_TYPE_OF_CLASS: Final = {1: 1, 2: 1, 3: 1, 4: 1, 7: 2, 12: 4, 13: 4}

_JPEG_QUALITY: Final = 92


class WaymoWriter:
    """Writes the frames of one drive below ``drives/<scene>``."""

    def __init__(self, root: Path, seed: int, scene: str, start_us: int, world: World):
        self._root, self._scene, self._start_us, self._world = root, scene, start_us, world
        self._name = f"toy-{seed}-{scene}"
        self._class = np.array([_CLASS_OF_CATEGORY.get(body.category, 0) for body in world.bodies], np.uint8)
        # Instances are told apart among what has boxes; numbers count over the whole drive.
        countable = np.isin(self._class, list(_TYPE_OF_CLASS)) & np.array([body.is_thing for body in world.bodies])
        self._instance = np.where(countable, np.cumsum(countable), 0).astype(np.int32)
        self._size = (0, 0)
        self._frames: list[dict[str, Any]] = []

    def add(self, number: int, keyframe: Keyframe) -> None:
        """Write frame ``number``; frames come in order."""
        images = []
        for name, picture in keyframe.pictures.items():
            self._size = picture.pixels.shape[0], picture.pixels.shape[1]
            file = f"drives/{self._scene}/{number:03d}_{name}.jpg"
            write_jpeg(self._root / file, picture.pixels, _JPEG_QUALITY)
            pose, time = picture.world_from_ego.ravel().tolist(), self._start_us / 1e6 + picture.time_s
            images.append({"camera": name, "file": file, "world_from_vehicle": pose, "time_s": time})
        arrays = f"drives/{self._scene}/{number:03d}.npz"
        with atomic_path(self._root / arrays) as path, path.open("wb") as stream:
            np.savez_compressed(stream, **self._sweep(keyframe))
        self._frames.append(
            {
                "arrays": arrays,
                "timestamp_us": self._start_us + round(keyframe.time_s * 1e6),
                "world_from_vehicle": keyframe.world_from_ego.ravel().tolist(),
                "labelled": number % LABELLED_EVERY == 0,
                "images": images,
                "boxes": self._boxes(keyframe),
            }
        )

    def finish(self) -> dict[str, Any]:
        """Return calibration and frames."""
        return {
            "name": self._name,
            "inclinations_rad": np.radians(WAYMO.lidar.elevations_deg).tolist(),
            "vehicle_from_lidar": WAYMO.ego_from_lidar().ravel().tolist(),
            "cameras": [
                {
                    "name": name,
                    "size": list(self._size),
                    "intrinsic": [*_four(camera.intrinsics(self._size)), 0.0, 0.0, 0.0, 0.0, 0.0],
                    # Waymo's camera frame has the axes of the vehicle's: x forward, y left, z up.
                    "vehicle_from_camera": camera.ego_from_sensor(np.eye(3)).ravel().tolist(),
                }
                for name, camera in WAYMO.cameras.items()
            ],
            "frames": self._frames,
        }

    def _sweep(self, keyframe: Keyframe) -> dict[str, NDArray[Any]]:
        """Return what a range image holds, by ray, and the pose of the vehicle at each of its columns."""
        sweep, beams = keyframe.sweep, len(WAYMO.lidar.elevations_deg)
        column, ring = np.divmod(sweep.ray, beams)
        times = column_times(keyframe.time_s, sweep.azimuth_steps)
        poses_A44 = np.stack([world_from_ego(self._world, time) for time in times.tolist()])
        world_from_lidar = keyframe.world_from_ego @ WAYMO.ego_from_lidar()
        world_P3 = sweep.points[:, :3].astype(np.float64) @ world_from_lidar[:3, :3].T + world_from_lidar[:3, 3]
        origin_A3 = (poses_A44 @ WAYMO.ego_from_lidar())[:, :3, 3]
        return {
            "column": column.astype(np.int32),
            "ring": ring.astype(np.int32),
            "range": np.linalg.norm(world_P3 - origin_A3[column], axis=1).astype(np.float32),
            "intensity": np.arctanh(np.minimum(sweep.points[:, 3] / 255, 0.999)).astype(np.float32),
            "category": self._class[sweep.body],
            "instance": self._instance[sweep.body],
            "projections": self._projections(keyframe, world_P3),
            "column_poses": np.column_stack([_roll_pitch_yaw(poses_A44[:, :3, :3]), poses_A44[:, :3, 3]]),
        }

    def _projections(self, keyframe: Keyframe, world_P3: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return (P, 6) number of the camera, column and row, of the first two cameras that see each point; 0 for none.

        Cameras are numbered from 1 in their order. Pixels are counted from the edge of the first one, and cut.
        """
        found = np.zeros((len(world_P3), 2, 3), np.int32)
        seen = np.zeros(len(world_P3), np.intp)
        for number, (name, camera) in enumerate(WAYMO.cameras.items(), start=1):
            height, width, _ = keyframe.pictures[name].pixels.shape
            camera_from_world = np.linalg.inv(keyframe.pictures[name].world_from_ego @ WAYMO.ego_from_camera(name))
            xyz_P3 = world_P3 @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
            with np.errstate(divide="ignore", invalid="ignore"):
                u, v = (camera.intrinsics((height, width)) @ (xyz_P3 / xyz_P3[:, 2:]).T)[:2] + 0.5
            inside = (xyz_P3[:, 2] > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height) & (seen < 2)
            found[inside, seen[inside]] = np.column_stack([np.full(len(u), number), u, v])[inside].astype(np.int32)
            seen += inside
        return found.reshape(-1, 6)

    def _boxes(self, keyframe: Keyframe) -> list[dict[str, Any]]:
        vehicle_from_world = np.linalg.inv(keyframe.world_from_ego)
        yaw = np.arctan2(keyframe.world_from_ego[1, 0], keyframe.world_from_ego[0, 0])
        boxes = []
        for sighting in keyframe.sightings:
            kind = _TYPE_OF_CLASS.get(int(self._class[sighting.body]))
            if kind is None or not sighting.num_points:
                continue
            low, high = self._world.bodies[sighting.body].mesh.bounds.astype(np.float64)
            middle, cos, sin = (low + high) / 2, np.cos(sighting.pose.yaw), np.sin(sighting.pose.yaw)
            world = np.array([cos * middle[0] - sin * middle[1], sin * middle[0] + cos * middle[1], middle[2]])
            centre = vehicle_from_world @ np.append(world + sighting.pose[:3], 1)
            heading = (sighting.pose.yaw - yaw + np.pi) % (2 * np.pi) - np.pi
            boxes.append(
                {
                    "id": f"{self._name}_{sighting.body}",
                    "type": kind,
                    "centre": centre[:3].tolist(),
                    "size": (high - low).tolist(),
                    "heading": float(heading),
                    "num_points": sighting.num_points,
                }
            )
        return boxes


def _four(intrinsics: NDArray[np.float64]) -> list[float]:
    """Return f_u, f_v, c_u, c_v; Waymo counts pixels from the edge of the first one, not from its centre."""
    (f_u, _, c_u), (_, f_v, c_v), _ = intrinsics.tolist()
    return [f_u, f_v, c_u + 0.5, c_v + 0.5]


def _roll_pitch_yaw(rotation_N33: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 3) angles in radians of R = R_z(yaw) R_y(pitch) R_x(roll)."""
    roll = np.arctan2(rotation_N33[:, 2, 1], rotation_N33[:, 2, 2])
    pitch = np.arcsin(np.clip(-rotation_N33[:, 2, 0], -1, 1))
    return np.stack([roll, pitch, np.arctan2(rotation_N33[:, 1, 0], rotation_N33[:, 0, 0])], axis=1)
