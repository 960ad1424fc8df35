from __future__ import annotations

from pathlib import Path

import numpy as np

from cmcr.boxes.boxes3d import corners
from cmcr.data.box_projection import clip_to_image, image_boxes, project_edges
from cmcr.data.scan import Camera

#: x forward, y left, z up, to x right, y down, z forward.
POSE = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
CAMERA = Camera("front", Path("front.png"), (100, 200), np.array([[50, 0, 100], [0, 50, 50], [0, 0, 1.0]]), POSE)


def test_a_box_ahead_by_hand() -> None:
    box = np.array([[11, 0, 0, 2, 4, 2, 0]], dtype=np.float64)  # its near face lies 10 m ahead
    np.testing.assert_allclose(image_boxes(box, CAMERA), [[100 - 10, 50 - 5, 100 + 10, 50 + 5]])


def test_a_box_around_the_camera_reaches_beyond_the_image() -> None:
    box = np.array([[0, -1, 0, 8, 4, 2, 0]], dtype=np.float64)
    left, top, right, bottom = image_boxes(box, CAMERA)[0]
    assert right > 200
    assert left < 0  # from 1 m left of the camera, as near as is projected
    assert top < 0
    assert bottom > 100
    assert np.isfinite([left, top, right, bottom]).all()
    np.testing.assert_allclose(clip_to_image(np.array([[left, top, right, bottom]]), CAMERA.size), [[0, 0, 199, 99]])


def test_a_box_behind_is_not_seen() -> None:
    boxes = np.array([[-5, 0, 0, 2, 2, 2, 0], [20, 0, 0, 2, 2, 2, 0]], dtype=np.float64)
    found = image_boxes(boxes, CAMERA)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert np.isnan(clip_to_image(found, CAMERA.size)[0]).all()


def test_without_boxes_there_are_none() -> None:
    assert image_boxes(np.empty((0, 7)), CAMERA).shape == (0, 4)


def test_equals_the_corners_projected_one_by_one() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform([8, -20, -2, 0.5, 0.5, 0.5, -4], [60, 20, 2, 5, 3, 3, 4], size=(50, 7))
    for box, found in zip(corners(boxes), image_boxes(boxes, CAMERA), strict=True):
        pixels = []
        for x, y, z in box.tolist():
            pixels.append((50 * -y / x + 100, 50 * -z / x + 50))
        columns, rows = zip(*pixels, strict=True)
        np.testing.assert_allclose(found, [min(columns), min(rows), max(columns), max(rows)])


def test_an_edge_through_the_camera_plane_is_cut() -> None:
    box = np.array([[0, -1, 0, 10, 1, 1, 0]], dtype=np.float64)
    ends = project_edges(box, CAMERA)[0]
    behind = np.isnan(ends).any(axis=(1, 2))
    assert behind.sum() == 4  # of the rear face
    np.testing.assert_allclose(np.nanmax(ends[..., 0]), 100 + 50 * 1.5 / 0.1)
