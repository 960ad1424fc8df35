"""Names and numbers that nuScenes fixes: cameras, classes, annotated categories and the size of a point."""

from __future__ import annotations

import numpy as np

#: A sweep holds float32 x, y, z, intensity and ring of each point.
BYTES_PER_POINT = 20

#: In the order in which SLidR pairs them (valeoai/SLidR@14729d0, pretrain/dataloader_nuscenes.py).
CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")

#: The 16 classes of the lidarseg challenge, numbered by place; place 0 takes part in neither loss nor metric.
CLASS_NAMES = (
    "ignore",
    "barrier",
    "bicycle",
    "bus",
    "car",
    "construction_vehicle",
    "motorcycle",
    "pedestrian",
    "traffic_cone",
    "trailer",
    "truck",
    "driveable_surface",
    "other_flat",
    "sidewalk",
    "terrain",
    "manmade",
    "vegetation",
)

#: Classes with instances in the panoptic challenge (devkit, eval/panoptic/utils.py). They are also the ten classes of
#: the detection challenge, made of the same categories (eval/detection/utils.py).
THING_CLASSES = tuple(range(1, 11))

#: The 32 annotated categories by number, each with its class of the challenge (devkit, eval/lidarseg/utils.py).
CATEGORIES = (
    ("noise", "ignore"),
    ("animal", "ignore"),
    ("human.pedestrian.adult", "pedestrian"),
    ("human.pedestrian.child", "pedestrian"),
    ("human.pedestrian.construction_worker", "pedestrian"),
    ("human.pedestrian.personal_mobility", "ignore"),
    ("human.pedestrian.police_officer", "pedestrian"),
    ("human.pedestrian.stroller", "ignore"),
    ("human.pedestrian.wheelchair", "ignore"),
    ("movable_object.barrier", "barrier"),
    ("movable_object.debris", "ignore"),
    ("movable_object.pushable_pullable", "ignore"),
    ("movable_object.trafficcone", "traffic_cone"),
    ("static_object.bicycle_rack", "ignore"),
    ("vehicle.bicycle", "bicycle"),
    ("vehicle.bus.bendy", "bus"),
    ("vehicle.bus.rigid", "bus"),
    ("vehicle.car", "car"),
    ("vehicle.construction", "construction_vehicle"),
    ("vehicle.emergency.ambulance", "ignore"),
    ("vehicle.emergency.police", "ignore"),
    ("vehicle.motorcycle", "motorcycle"),
    ("vehicle.trailer", "trailer"),
    ("vehicle.truck", "truck"),
    ("flat.driveable_surface", "driveable_surface"),
    ("flat.other", "other_flat"),
    ("flat.sidewalk", "sidewalk"),
    ("flat.terrain", "terrain"),
    ("static.manmade", "manmade"),
    ("static.other", "ignore"),
    ("static.vegetation", "vegetation"),
    ("vehicle.ego", "ignore"),
)

#: (32,) uint8: category number to class number.
CLASS_OF_CATEGORY = np.array([CLASS_NAMES.index(name) for _, name in CATEGORIES], dtype=np.uint8)

#: What is told of some annotated things besides their category, at most one of these each.
ATTRIBUTES = (
    "vehicle.moving", "vehicle.stopped", "vehicle.parked", "cycle.with_rider", "cycle.without_rider",
    "pedestrian.sitting_lying_down", "pedestrian.standing", "pedestrian.moving",
)  # fmt: skip
