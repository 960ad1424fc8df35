"""Between KITTI's label files, in the frame of the rectified camera 0, and boxes in the LiDAR frame.

As in OpenPCDet@8caccce (pcdet/utils/box_utils.py, ``boxes3d_kitti_camera_to_lidar``): the middle of the bottom is
carried over, half the height is added along the LiDAR's z, and yaw = -rotation_y - pi / 2. The two vertical axes differ
by about half a degree in KITTI, which this leaves aside; it is exactly undone on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.box_projection import clip_to_image, image_boxes
from cmcr.data.kitti_labels import KittiObjects
from cmcr.data.scan import Camera


def within_half_turn(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same angles in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def boxes_in_lidar(objects: KittiObjects, rectified_from_lidar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (N, 7) boxes in the LiDAR frame; see `cmcr.boxes.boxes3d.Boxes3D`. DontCare has none: leave it out."""
    height, width, length = objects.size.T
    bottom = np.column_stack([objects.location, np.ones(len(objects))])
    x, y, z = np.linalg.solve(rectified_from_lidar, bottom.T)[:3]
    yaw = within_half_turn(-objects.rotation_y - np.pi / 2)
    return np.column_stack([x, y, z + height / 2, length, width, height, yaw])


def objects_in_image(
    boxes: Boxes3D,
    rectified_from_lidar: NDArray[np.float64],
    camera: Camera,
    class_names: Sequence[str],
    score: NDArray[np.float64] | None = None,
) -> KittiObjects:
    """Return boxes, detected ones if they have scores, as objects of a label file.

    Boxes that the camera does not see are left out, as a label file holds what is in its image. Truncation is the share
    of the 2D box beyond the image's borders; occlusion is not known here, and said to be 0 as the benchmark's own
    results have it.

    Args:
        boxes: in the LiDAR frame.
        rectified_from_lidar: (4, 4) to the frame of the rectified camera 0.
        camera: the image's.
        class_names: type of each class; place 0 is no class.
        score: (N,) of detections.
    """
    whole = image_boxes(boxes.geometry, camera)
    clipped = clip_to_image(whole, camera.size)
    with np.errstate(invalid="ignore"):
        seen = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    geometry, whole, clipped = boxes.geometry[seen], whole[seen], clipped[seen]
    bottom = geometry[:, :3] - np.outer(geometry[:, 5] / 2, (0, 0, 1))
    location = bottom @ rectified_from_lidar[:3, :3].T + rectified_from_lidar[:3, 3]
    rotation_y = within_half_turn(-geometry[:, 6] - np.pi / 2)
    area, left_over = (np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (whole, clipped))
    return KittiObjects(
        name=np.array([class_names[number] for number in boxes.classes[seen].tolist()], dtype=np.str_),
        truncation=1 - left_over / area,
        occlusion=np.zeros(len(geometry), dtype=np.int64),
        alpha=within_half_turn(rotation_y - np.arctan2(location[:, 0], location[:, 2])),
        image_box=clipped,
        size=geometry[:, [5, 4, 3]],
        location=location,
        rotation_y=rotation_y,
        score=None if score is None else score[seen],
    )
