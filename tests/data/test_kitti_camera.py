from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.kitti_camera import boxes_in_lidar, objects_in_image, within_half_turn
from cmcr.data.kitti_labels import KittiObjects
from cmcr.data.scan import Camera

#: The axes exchanged, a small tilt, and the camera before and below the LiDAR, as in KITTI.
TILT = np.array([[1, 0.01, 0], [-0.01, 1, 0.012], [0, -0.012, 1]])
RECTIFIED = np.eye(4)
UNIT, SCALE = np.linalg.qr(TILT)
RECTIFIED[:3, :3] = UNIT * np.sign(np.diag(SCALE)) @ [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
RECTIFIED[:3, 3] = (0.0, -0.08, -0.27)
INTRINSICS = np.array([[720, 0, 610], [0, 720, 173], [0, 0, 1.0]])
CAMERA = Camera("image_2", Path("0.png"), (375, 1242), INTRINSICS, RECTIFIED)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_there_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Before the camera, so that nothing is left out.
    low, high = [10, -5, -2, 0.5, 0.5, 0.5, -3.1], [60, 5, 1, 8, 3, 3, 3.1]
    boxes = Boxes3D(rng.uniform(low, high, size=(6, 7)), np.ones(6, dtype=np.int64))
    objects = objects_in_image(boxes, RECTIFIED, CAMERA, ("", "Car"), score=rng.random(6))
    assert len(objects) == 6
    np.testing.assert_allclose(boxes_in_lidar(objects, RECTIFIED), boxes.geometry, atol=1e-9)


def test_a_car_straight_ahead_by_hand() -> None:
    pose = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    car = KittiObjects(
        name=np.array(["Car", "Car"]),
        truncation=np.zeros(2),
        occlusion=np.zeros(2, dtype=np.int64),
        alpha=np.zeros(2),
        image_box=np.zeros((2, 4)),
        size=np.array([[1.5, 1.6, 3.9]] * 2),
        location=np.array([[2.0, 1.7, 20.0]] * 2),
        rotation_y=np.array([-np.pi / 2, 0.0]),  # along the view; to the right
    )
    expected = [[20, -2, -1.7 + 0.75, 3.9, 1.6, 1.5, yaw] for yaw in (0, -np.pi / 2)]
    np.testing.assert_allclose(boxes_in_lidar(car, pose), expected, atol=1e-12)


def test_what_is_behind_or_beside_the_image_is_left_out() -> None:
    geometry = np.array([[20, 0, 0, 4, 2, 2, 0], [-20, 0, 0, 4, 2, 2, 0], [5, 30, 0, 4, 2, 2, 0]], dtype=np.float64)
    objects = objects_in_image(Boxes3D(geometry, np.array([2, 1, 1])), RECTIFIED, CAMERA, ("", "Car", "Cyclist"))
    assert objects.name.tolist() == ["Cyclist"]
    assert objects.score is None


def test_truncation_is_the_share_beyond_the_border() -> None:
    geometry = np.array([[18, 15.6, 0, 0.1, 4, 1, 0], [18, 0, 0, 4, 2, 1, 0]])
    objects = objects_in_image(Boxes3D(geometry, np.array([1, 1])), RECTIFIED, CAMERA, ("", "Car"))
    assert 0.3 < objects.truncation[0] < 0.7
    assert objects.truncation[1] == 0
    assert objects.image_box[0, 0] == 0


def test_half_turns() -> None:
    np.testing.assert_allclose(within_half_turn(np.array([0, np.pi, -np.pi, 4.0])), [0, -np.pi, -np.pi, 4 - 2 * np.pi])
