"""Names and numbers that the Waymo Open Dataset fixes (segmentation.proto), and those of its converted segments."""

from __future__ import annotations

#: Of the JSON that `workflow/waymo/convert.py` writes for each segment.
FORMAT, FORMAT_VERSION = "cmcr waymo segment", 1

#: Folders of segments; a split is one of them.
FOLDERS = ("training", "validation", "testing")

#: A point is float32 x, y, z, intensity; its label uint32, the class in the lower 16 bits and the instance above.
BYTES_PER_POINT, BYTES_PER_LABEL = 16, 4

#: The 22 classes, numbered as they are stored; place 0 is what Waymo calls undefined.
CLASS_NAMES = (
    "ignore",
    "car",
    "truck",
    "bus",
    "other_vehicle",
    "motorcyclist",
    "bicyclist",
    "pedestrian",
    "sign",
    "traffic_light",
    "pole",
    "construction_cone",
    "bicycle",
    "motorcycle",
    "building",
    "vegetation",
    "tree_trunk",
    "curb",
    "road",
    "lane_marker",
    "other_ground",
    "walkable",
    "sidewalk",
)

#: Classes of boxes that detection counts, with their numbers in label.proto; signs are labelled, but not counted.
BOX_TYPES = {"vehicle": 1, "pedestrian": 2, "cyclist": 4}

#: Countable classes: what moves by itself, and two-wheelers. Chosen here: Waymo has no panoptic task on points.
THING_CLASSES = (1, 2, 3, 4, 5, 6, 7, 12, 13)
