"""Labelled boxes of a Waymo frame, as the index keeps them: with what its official metrics ask for besides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.waymo_names import BOX_TYPES
from cmcr.reading import parse_json

#: Types of Waymo's labels (label.proto): unknown, vehicle, pedestrian, sign, cyclist.
_TYPES = 5
#: Training class by type, 0 for those that detection does not count.
_CLASS_OF_TYPE = np.zeros(_TYPES, dtype=np.int64)
_CLASS_OF_TYPE[list(BOX_TYPES.values())] = range(1, len(BOX_TYPES) + 1)
#: Things with no more returns are hard, whatever the labels say (arXiv:1912.04838, section 5.1).
_FEW_POINTS = 5
#: A tenth of a millimetre; an index of all frames is long enough so.
_DECIMALS = 4


@dataclass(frozen=True, eq=False)
class WaymoBoxes:
    """N boxes in the LiDAR frame of their scan.

    Attributes:
        types: (N,) int64, numbers of label.proto.
        difficulty: (N,) int64 as labelled: 1 easy, 2 hard, 0 not said.
        num_points: (N,) int64 returns inside.
        geometry: (N, 7) as in `cmcr.boxes.boxes3d.Boxes3D`.
        zones: (Z, 2) corners of each area, seen from above, in which nothing is labelled.
    """

    types: NDArray[np.int64]
    difficulty: NDArray[np.int64]
    num_points: NDArray[np.int64]
    geometry: NDArray[np.float64]
    zones: tuple[NDArray[np.float64], ...]

    @property
    def levels(self) -> NDArray[np.int64]:
        """(N,) difficulty that counts: 1, 2, or 0 for a box without a return, which the official metrics leave out."""
        hard = (self.difficulty == 2) | (self.num_points <= _FEW_POINTS)
        return np.where(self.num_points == 0, 0, np.where(hard, 2, 1))

    def as_boxes(self) -> Boxes3D:
        """Return them as what a detector learns."""
        return Boxes3D(self.geometry, _CLASS_OF_TYPE[self.types], None, self.num_points)

    def to_text(self) -> str:
        """Write the boxes as one line."""
        counts = np.column_stack([self.types, self.difficulty, self.num_points]).tolist()
        rows = [[*few, *many] for few, many in zip(counts, self.geometry.round(_DECIMALS).tolist(), strict=True)]
        zones = [zone.round(_DECIMALS).tolist() for zone in self.zones]
        return json.dumps({"boxes": rows, "zones": zones}, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> WaymoBoxes:
        """Undo `to_text`."""
        content = parse_json(text)
        rows = np.array(content["boxes"], dtype=np.float64).reshape(-1, 10)
        types, difficulty, num_points = rows[:, :3].astype(np.int64).T
        zones = tuple(np.array(zone, dtype=np.float64).reshape(-1, 2) for zone in content["zones"])
        return cls(types, difficulty, num_points, rows[:, 3:], zones)

    @classmethod
    def of_frame(cls, frame: dict[str, Any], vehicle_from_lidar: NDArray[np.float64]) -> WaymoBoxes:
        """Take the boxes of a frame of a converted segment, which are in the vehicle's frame.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: the frame says something else than boxes and zones.
        """
        boxes, turn = frame["boxes"], vehicle_from_lidar[:3, :3]
        whole = np.array([[b["type"], b.get("difficulty", 0), b["num_lidar_points"]] for b in boxes], dtype=np.float64)
        whole = whole.reshape(len(boxes), 3)
        limits = np.array([_TYPES - 1, 2, 2**31])
        if not ((whole >= 0) & (whole <= limits) & (whole == np.floor(whole))).all():
            raise ValueError("boxes: expected whole numbers as type, difficulty and num_lidar_points")
        numbers = np.array([[*b["centre"], *b["size"], b["heading"]] for b in boxes], dtype=np.float64)
        numbers = numbers.reshape(len(boxes), 7)
        if not np.isfinite(numbers).all() or (numbers[:, 3:6] <= 0).any():
            raise ValueError("boxes: expected finite centres and headings and sizes above 0")
        heading = np.column_stack([np.cos(numbers[:, 6]), np.sin(numbers[:, 6]), np.zeros(len(boxes))]) @ turn
        yaw = np.arctan2(heading[:, 1], heading[:, 0])
        geometry = np.column_stack([(numbers[:, :3] - vehicle_from_lidar[:3, 3]) @ turn, numbers[:, 3:6], yaw])
        zones = []
        for zone in frame.get("no_label_zones", []):
            corners = np.array(zone, dtype=np.float64).reshape(-1, 2)
            if len(corners) < 3 or not np.isfinite(corners).all():
                raise ValueError("no_label_zones: expected three corners or more of each")
            level = np.column_stack([corners, np.full(len(corners), vehicle_from_lidar[2, 3])])
            zones.append(((level - vehicle_from_lidar[:3, 3]) @ turn)[:, :2])
        types, difficulty, num_points = whole.astype(np.int64).T
        return cls(types, difficulty, num_points, geometry, tuple(zones))
