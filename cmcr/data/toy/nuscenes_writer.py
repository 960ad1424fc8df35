"""Writing a toy recording in nuScenes' own format (arXiv:1903.11027; label files as in arXiv:2109.03805)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pyquaternion import Quaternion

from cmcr.data.image_files import write_jpeg
from cmcr.data.toy.ground import KERB_M, WALK_M
from cmcr.data.toy.nuscenes_format import DESCRIPTION, TABLES, VERSION, Record, attribute_of, token, visibility_token
from cmcr.data.toy.recording import Keyframe, Picture
from cmcr.data.toy.rig import NUSCENES
from cmcr.data.toy.world import CATEGORY_NUMBER, World
from cmcr.files import atomic_path

#: Distance of a box's faces from the body, so that points with range noise lie within, as annotators draw them.
BOX_MARGIN_M = 0.05

#: Pixels of the map for each metre, as nuScenes has it.
_MAP_SCALE = 10

_JPEG_QUALITY = 92

_DATE = "2024-01-01"


class NuScenesWriter:
    """Writes the keyframes of one scene below a root, and collects the scene's records of all tables."""

    def __init__(self, root: Path, seed: int, scene: str, start_us: int, world: World):
        self._root, self._key, self._world, self._start_us = root, (seed, scene), world, start_us
        self._scene = scene
        self._image_size = (0, 0)
        self._log = f"toy-seed{seed}-{scene}"
        self.tables: dict[str, list[Record]] = {table: [] for table in TABLES}
        self._last: dict[str, Record] = {}
        self._instance_number = _numbered(world)

    def _token(self, *names: object) -> str:
        return token(*self._key, *names)

    def add(self, number: int, keyframe: Keyframe) -> None:
        """Write keyframe ``number`` and record it; keyframes come in order."""
        sample = {
            "token": self._token("sample", number),
            "timestamp": self._microseconds(keyframe.time_s),
            "prev": "",
            "next": "",
            "scene_token": self._token("scene"),
        }
        self._chain("sample", "", sample)
        self._write_sweep(sample, keyframe)
        for name, picture in keyframe.pictures.items():
            self._write_picture(sample, name, picture)
        for sighting in keyframe.sightings:
            body = self._world.bodies[sighting.body]
            attribute = attribute_of(body.category, moves=body.track is not None, ridden=body.ridden)
            low, high = body.mesh.bounds.astype(np.float64)
            turn = Quaternion(axis=(0, 0, 1), angle=sighting.pose.yaw)
            length, width, height = (high - low + 2 * BOX_MARGIN_M).tolist()
            annotation = {
                "token": self._token("sample_annotation", number, sighting.body),
                "sample_token": sample["token"],
                "instance_token": self._token("instance", sighting.body),
                "visibility_token": visibility_token(sighting.visibility),
                "attribute_tokens": [token("attribute", attribute)] if attribute else [],
                "translation": (turn.rotate((low + high) / 2) + sighting.pose[:3]).tolist(),
                "size": [width, length, height],
                "rotation": turn.elements.tolist(),
                "prev": "",
                "next": "",
                "num_lidar_pts": sighting.num_points,
                "num_radar_pts": 0,
            }
            self._chain("sample_annotation", str(sighting.body), annotation)

    def finish(self) -> dict[str, list[Record]]:
        """Write the map, complete the tables and return them."""
        self._drop_unseen()
        samples = self.tables["sample"]
        log, map_file = self._token("log"), f"maps/{self._token('map')}.png"
        self.tables["scene"].append(
            {
                "token": self._token("scene"),
                "log_token": log,
                "nbr_samples": len(samples),
                "first_sample_token": samples[0]["token"],
                "last_sample_token": samples[-1]["token"],
                "name": self._scene,
                "description": DESCRIPTION,
            }
        )
        self.tables["log"].append(
            {
                "token": log,
                "logfile": self._log,
                "vehicle": "toy",
                "date_captured": "2024-01-01",
                "location": "toy-city",
            }
        )
        self.tables["map"].append(
            {"token": self._token("map"), "log_tokens": [log], "category": "semantic_prior", "filename": map_file}
        )
        with atomic_path(self._root / map_file) as path:
            _draw_map(self._world).save(path)
        self._calibrate("LIDAR_TOP", NUSCENES.ego_from_lidar(), [])
        size = self._image_size
        for name, camera in NUSCENES.cameras.items():
            self._calibrate(name, NUSCENES.ego_from_camera(name), camera.intrinsics(size).tolist())
        return self.tables

    def _write_sweep(self, sample: Record, keyframe: Keyframe) -> None:
        sweep = keyframe.sweep
        record = self._sample_data(sample, "LIDAR_TOP", keyframe.time_s, keyframe.world_from_ego, (0, 0))
        with atomic_path(self._root / record["filename"]) as path:
            path.write_bytes(sweep.points.astype("<f4").tobytes())
        category = np.array([CATEGORY_NUMBER[body.category] for body in self._world.bodies], np.uint16)[sweep.body]
        panoptic = (1000 * category + self._instance_number[sweep.body]).astype(np.uint16)
        for table, suffix in (("lidarseg", "bin"), ("panoptic", "npz")):
            name = f"{table}/{VERSION}/{record['token']}_{table}.{suffix}"
            with atomic_path(self._root / name) as path:
                if table == "lidarseg":
                    path.write_bytes(category.astype(np.uint8).tobytes())
                else:
                    np.savez_compressed(path, data=panoptic)
            self.tables[table].append(
                {"token": record["token"], "sample_data_token": record["token"], "filename": name}
            )

    def _write_picture(self, sample: Record, name: str, picture: Picture) -> None:
        height, width, _ = picture.pixels.shape
        self._image_size = height, width
        record = self._sample_data(sample, name, picture.time_s, picture.world_from_ego, self._image_size)
        write_jpeg(self._root / record["filename"], picture.pixels, _JPEG_QUALITY)

    def _sample_data(
        self, sample: Record, channel: str, time_s: float, world_from_ego: NDArray[np.float64], size: tuple[int, int]
    ) -> Record:
        time = self._microseconds(time_s)
        suffix = "pcd.bin" if channel == "LIDAR_TOP" else "jpg"
        record = {
            "token": self._token("sample_data", channel, sample["token"]),
            "sample_token": sample["token"],
            "ego_pose_token": self._token("ego_pose", channel, sample["token"]),
            "calibrated_sensor_token": self._token("calibrated_sensor", channel),
            "timestamp": time,
            "fileformat": suffix.partition(".")[0],
            "is_key_frame": True,
            "height": size[0],
            "width": size[1],
            "filename": f"samples/{channel}/{self._log}__{channel}__{time}.{suffix}",
            "prev": "",
            "next": "",
        }
        self._chain("sample_data", channel, record)
        self.tables["ego_pose"].append(
            {"token": record["ego_pose_token"], "timestamp": time, **_pose_fields(world_from_ego)}
        )
        return record

    def _calibrate(self, channel: str, ego_from_sensor: NDArray[np.float64], intrinsics: list[list[float]]) -> None:
        self.tables["calibrated_sensor"].append(
            {
                "token": self._token("calibrated_sensor", channel),
                "sensor_token": token("sensor", channel),
                **_pose_fields(ego_from_sensor),
                "camera_intrinsic": intrinsics,
            }
        )

    def _chain(self, table: str, name: str, record: Record) -> None:
        """Add a record and tie it to the previous one of its chain."""
        previous = self._last.get(f"{table}/{name}")
        if previous:
            record["prev"], previous["next"] = previous["token"], record["token"]
        self._last[f"{table}/{name}"] = record
        self.tables[table].append(record)

    def _drop_unseen(self) -> None:
        """Keep the annotations of things that some sweep of the scene met, and make the table of instances."""
        of_instance: dict[str, list[Record]] = {}
        for record in self.tables["sample_annotation"]:
            of_instance.setdefault(record["instance_token"], []).append(record)
        seen = {key for key, records in of_instance.items() if any(r["num_lidar_pts"] for r in records)}
        self.tables["sample_annotation"] = [r for r in self.tables["sample_annotation"] if r["instance_token"] in seen]
        for number, body in enumerate(self._world.bodies):
            key = self._token("instance", number)
            if key in seen:
                self.tables["instance"].append(
                    {
                        "token": key,
                        "category_token": token("category", body.category),
                        "nbr_annotations": len(of_instance[key]),
                        "first_annotation_token": of_instance[key][0]["token"],
                        "last_annotation_token": of_instance[key][-1]["token"],
                    }
                )

    def _microseconds(self, time_s: float) -> int:
        return self._start_us + round(time_s * 1e6)


def _pose_fields(pose: NDArray[np.float64]) -> Record:
    rotation = Quaternion(matrix=pose[:3, :3], rtol=1e-5, atol=1e-7)
    return {"translation": pose[:3, 3].tolist(), "rotation": rotation.elements.tolist()}


def _numbered(world: World) -> NDArray[np.uint16]:
    """Return (B,) a number for each thing, from 1 within its category; 0 for the rest."""
    numbers, used = np.zeros(len(world.bodies), np.uint16), dict.fromkeys(CATEGORY_NUMBER, 0)
    for place, body in enumerate(world.bodies):
        if body.is_thing:
            used[body.category] += 1
            numbers[place] = used[body.category]
    return numbers


def _draw_map(world: World) -> Image.Image:
    """Road and sidewalks, white on black, as nuScenes' semantic prior: the world's origin in the lower left corner."""
    s = np.arange(-60.0, world.path.length_m + 60.0, 1.0)
    half = world.road_half_m + KERB_M + WALK_M
    edges = [world.path.points(s, np.full(len(s), d)) for d in (-half, half)]
    outline = np.concatenate([edges[0], edges[1][::-1]]) * _MAP_SCALE
    width, height = (np.ceil(outline.max(0)).astype(int) + 300).tolist()
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).polygon([(x, height - y) for x, y in outline.tolist()], fill=255)
    return image
