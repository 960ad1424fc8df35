"""Keyframes of nuScenes with invented boxes and no files: all that a score needs. All look along the world's x."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pyquaternion import Quaternion

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_boxes import AnnotatedBoxes, WorldBoxes
from cmcr.data.nuscenes_names import ATTRIBUTES, CATEGORIES, CLASS_NAMES, THING_CLASSES
from cmcr.data.scan_record import ScanRecord, to_text

#: Where the vehicle is in the world, and the LiDAR above it: its y axis looks ahead, along the world's x.
EGO = (100.0, 50.0, 0.0)
LIDAR_HEIGHT = 2.0


class Thing(NamedTuple):
    """A thing that stands on the ground, ``ahead`` and to the ``left`` of the vehicle, in metres and radians."""

    category: str
    ahead: float
    left: float = 0.0
    yaw: float = 0.0
    size_lwh: tuple[float, float, float] = (4.0, 2.0, 1.5)
    velocity: tuple[float, float] = (0.0, 0.0)
    attribute: str = ""
    lidar_points: int = 5
    radar_points: int = 0


def annotated(things: Sequence[Thing]) -> AnnotatedBoxes:
    """Return things as the tables would have them."""
    names = [name for name, _ in CATEGORIES]
    length, width, height = np.array([thing.size_lwh for thing in things]).reshape(-1, 3).T
    place = np.array([(thing.ahead, thing.left, 0.0) for thing in things]).reshape(-1, 3) + EGO
    return AnnotatedBoxes(
        np.array([names.index(thing.category) for thing in things], dtype=np.int64),
        np.array([1 + ATTRIBUTES.index(t.attribute) if t.attribute else 0 for t in things], dtype=np.int64),
        np.array([thing.lidar_points for thing in things], dtype=np.int64),
        np.array([thing.radar_points for thing in things], dtype=np.int64),
        WorldBoxes(
            place + np.column_stack([0 * height, 0 * height, height / 2]),
            np.column_stack([width, length, height]),
            np.array([Quaternion(axis=(0, 0, 1), angle=t.yaw).elements for t in things]).reshape(-1, 4),
            np.array([thing.velocity for thing in things], dtype=np.float64).reshape(-1, 2),
        ),
    )


def keyframe(number: int, things: Sequence[Thing] | None, tilt: float = 0.0) -> ScanRecord:
    """Return the record of a keyframe; without things it is not annotated.

    Args:
        number: of the keyframe; its token is ``sweep0``, that of its sample ``sample0``.
        things: what is annotated.
        tilt: radians by which the LiDAR looks down.
    """
    turned = Quaternion(axis=(0, 1, 0), angle=tilt) * Quaternion(axis=(0, 0, 1), angle=-np.pi / 2)
    poses = (
        to_text(np.column_stack([turned.rotation_matrix, [0.0, 0.0, LIDAR_HEIGHT]])),
        to_text(np.column_stack([np.eye(3), EGO])),
    )
    record = ScanRecord(f"sweep{number}", "scene", number, f"{number}.bin", 20, None, None, None, None, poses, ())
    words = None if things is None else annotated(things).to_text()
    where = {} if words is None else {"boxes": "v1/sample_annotation.json", "boxes_bytes": 1, "annotations": words}
    return ScanRecord(**{**vars(record), "sample": f"sample{number}", **where})


def index_of(*keyframes: ScanRecord) -> ScanIndex:
    """Return the index of a split with these keyframes."""
    return ScanIndex("invented", "nuscenes", Path("nowhere"), "val", "v1", CLASS_NAMES, THING_CLASSES, keyframes)


def detections(boxes: Boxes3D, scores: NDArray[np.float64] | None = None) -> Detections:
    """Return boxes as if a detector had found them, with score 1 unless told otherwise."""
    scores = np.ones(len(boxes)) if scores is None else scores
    order = np.argsort(-scores, kind="stable")
    boxes = boxes.select(order)
    velocity = None if boxes.velocity is None else torch.from_numpy(np.nan_to_num(boxes.velocity))
    geometry, classes = torch.from_numpy(boxes.geometry), torch.from_numpy(boxes.classes)
    return Detections(geometry, torch.from_numpy(scores[order]), classes, velocity)
