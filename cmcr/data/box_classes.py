"""What has boxes in a data set; where these are classes of points, too, they have the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cmcr.data import kitti_names, nuscenes_names, waymo_names

#: Names of the classes of boxes, numbered from 1, by the reader of a data set.
BOX_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "kitti": kitti_names.CLASS_NAMES[1:],
    "nuscenes": tuple(nuscenes_names.CLASS_NAMES[number] for number in nuscenes_names.THING_CLASSES),
    "waymo": tuple(waymo_names.BOX_TYPES),
}
