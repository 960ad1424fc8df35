"""Tables that are alike for all scenes of a toy city in nuScenes' format, and how its records are named."""

from __future__ import annotations

import hashlib
from typing import Any

from cmcr.data.nuscenes_names import ATTRIBUTES, CATEGORIES
from cmcr.data.toy.rig import NUSCENES

VERSION = "v1.0-mini"

#: Description of every scene, by which a folder is known to hold a toy city.
DESCRIPTION = "Toy city"

#: The scenes of the devkit's splits mini_train and mini_val.
TRAIN_SCENES = (
    "scene-0061", "scene-0553", "scene-0655", "scene-0757", "scene-0796", "scene-1077", "scene-1094", "scene-1100",
)  # fmt: skip
VALIDATION_SCENES = ("scene-0103", "scene-0916")

#: All tables that a scene's part and the shared records fill, with those of the label downloads last.
TABLES = (
    "attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map", "sample", "sample_annotation",
    "sample_data", "scene", "sensor", "visibility", "lidarseg", "panoptic",
)  # fmt: skip

#: Upper ends of the visibility levels.
_VISIBILITY = (("1", "v0-40", 0.4), ("2", "v40-60", 0.6), ("3", "v60-80", 0.8), ("4", "v80-100", 1.0))

Record = dict[str, Any]


def token(*names: object) -> str:
    """32 hexadecimal digits that name a record by what it is."""
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()[:32]


def visibility_token(share: float) -> str:
    """Token of the level that a visible share in [0, 1] falls into."""
    return next(key for key, _, end in _VISIBILITY if share <= end)


def shared_tables() -> dict[str, list[Record]]:
    """Records that no scene owns."""
    return {
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": number}
            for number, (name, _) in enumerate(CATEGORIES)
        ],
        "attribute": [{"token": token("attribute", name), "name": name, "description": ""} for name in ATTRIBUTES],
        "visibility": [{"token": key, "level": level, "description": ""} for key, level, _ in _VISIBILITY],
        "sensor": [
            {"token": token("sensor", name), "channel": name, "modality": "lidar" if name == "LIDAR_TOP" else "camera"}
            for name in ("LIDAR_TOP", *NUSCENES.cameras)
        ],
    }


def attribute_of(category: str, *, moves: bool, ridden: bool) -> str | None:
    """Name of the attribute that nuScenes gives a thing of ``category``; None where it gives none."""
    if category in ("vehicle.bicycle", "vehicle.motorcycle"):
        return "cycle.with_rider" if ridden else "cycle.without_rider"
    if category.startswith("vehicle."):
        return "vehicle.moving" if moves else "vehicle.parked"
    if category.startswith("human.pedestrian."):
        return "pedestrian.moving" if moves else "pedestrian.standing"
    return None
