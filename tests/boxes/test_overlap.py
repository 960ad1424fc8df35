from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon
from torch import Tensor

from cmcr.boxes import overlap
from cmcr.boxes.overlap import aligned_bev_iou, bev_iou, corners_from_above, intersection_from_above, iou_3d


def box(x: float, y: float, length: float, width: float, yaw: float, z: float = 0.0, height: float = 1.0) -> Tensor:
    return torch.tensor([[x, y, z, length, width, height, yaw]], dtype=torch.float64)


def random_boxes(number: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(number, 7, generator=generator, dtype=torch.float64)
    low = torch.tensor([-2, -2, -1, 0.05, 0.05, 0.1, -7], dtype=torch.float64)
    high = torch.tensor([2, 2, 1, 6, 3, 3, 7], dtype=torch.float64)
    return low + (high - low) * uniform


def by_shapely(a_K7: Tensor, b_K7: Tensor) -> np.ndarray:
    """Return the areas shared by the boxes of each pair, corners written out from sine and cosine."""
    areas = []
    for pair in zip(a_K7.tolist(), b_K7.tolist(), strict=True):
        shapes = []
        for x, y, _, length, width, _, yaw in pair:
            along = np.array([math.cos(yaw), math.sin(yaw)]) * length / 2
            aside = np.array([-math.sin(yaw), math.cos(yaw)]) * width / 2
            centre = np.array([x, y])
            corners = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
            shapes.append(Polygon([centre + front * along + left * aside for front, left in corners]))
        areas.append(shapes[0].intersection(shapes[1]).area)
    return np.array(areas)


def test_10000_random_pairs_equal_shapely() -> None:
    a, b = random_boxes(10_000, 0), random_boxes(10_000, 1)
    expected = by_shapely(a, b)
    assert (expected > 0).mean() > 0.5  # the pairs are worth comparing
    ours = intersection_from_above(a, b).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    union = (a[:, 3] * a[:, 4] + b[:, 3] * b[:, 4]).numpy() - expected
    ious = torch.cat([bev_iou(left[None], right[None])[0] for left, right in zip(a[:500], b[:500], strict=True)])
    np.testing.assert_allclose(ious.numpy(), (expected / union)[:500], atol=1e-9)


def test_float32_is_near_enough() -> None:
    a, b = random_boxes(10_000, 2), random_boxes(10_000, 3)
    shift = torch.zeros(7, dtype=torch.float64)
    shift[:2] = torch.tensor([64.0, -32.0])  # as far from the sensor as boxes are
    ours = intersection_from_above((a + shift).float(), (b + shift).float()).double().numpy()
    np.testing.assert_allclose(ours, by_shapely(a, b), atol=1e-4)


@pytest.mark.parametrize("yaw", [0.0, 0.3, math.pi / 4, 1.0, math.pi / 2, 3.0])
def test_touching_equal_nested_and_flat_boxes(yaw: float) -> None:
    along = np.array([math.cos(yaw), math.sin(yaw)])
    base = box(10, -5, 4, 2, yaw)
    end = box(10 + 4 * along[0], -5 + 4 * along[1], 4, 2, yaw)
    cases = {
        "equal": (base, 1.0),
        "turned by half a turn": (box(10, -5, 4, 2, yaw + math.pi), 1.0),
        "the same rectangle, length and width exchanged": (box(10, -5, 2, 4, yaw + math.pi / 2), 1.0),
        "touching along an edge": (end, 0.0),
        "nested": (box(10, -5, 2, 1, yaw), 0.25),
        "nested along one edge": (box(10 + along[0], -5 + along[1], 2, 2, yaw), 0.5),
        "half shifted": (box(10 + 2 * along[0], -5 + 2 * along[1], 4, 2, yaw), 1 / 3),
        "without width": (box(10, -5, 4, 0, yaw), 0.0),
        "a point": (box(10, -5, 0, 0, yaw), 0.0),
        "far away": (box(50, 50, 4, 2, yaw), 0.0),
    }
    for name, (other, expected) in cases.items():
        for a, b in ((base, other), (other, base)):
            for dtype in (torch.float64, torch.float32):
                assert bev_iou(a.to(dtype), b.to(dtype)).item() == pytest.approx(expected, abs=2e-6), name


def test_two_points_have_no_iou() -> None:
    point = box(1, 1, 0, 0, 0, height=0)
    assert bev_iou(point, point).item() == iou_3d(point, point).item() == aligned_bev_iou(point, point).item() == 0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), turn=st.floats(-3, 3), x=st.floats(-50, 50))
def test_does_not_depend_on_order_or_frame(seed: int, turn: float, x: float) -> None:
    a, b = random_boxes(5, seed), random_boxes(7, seed + 1)
    expected = iou_3d(a, b)
    torch.testing.assert_close(iou_3d(b, a).T, expected)
    moved = []
    for boxes in (a, b):
        new = boxes.clone()
        new[:, 0] = math.cos(turn) * boxes[:, 0] - math.sin(turn) * boxes[:, 1] + x
        new[:, 1] = math.sin(turn) * boxes[:, 0] + math.cos(turn) * boxes[:, 1]
        new[:, 6] += turn
        moved.append(new)
    torch.testing.assert_close(iou_3d(*moved), expected, atol=1e-9, rtol=0)


def test_volume_counts_the_shared_height() -> None:
    a = box(0, 0, 2, 2, 0, z=1, height=2)  # from 0 to 2
    b = torch.cat([box(0, 0, 2, 2, 0, z=2, height=2), box(0, 0, 2, 2, 0, z=3, height=2), box(1, 0, 2, 2, 0, z=2)])
    #   shares 1 of 2 + 2; touches; shares half the area and from 1.5 to 2
    expected = [4 / (8 + 8 - 4), 0.0, 1 / (8 + 4 - 1)]
    torch.testing.assert_close(iou_3d(a, b)[0], torch.tensor(expected, dtype=torch.float64))


def test_nearest_axis() -> None:
    a = torch.cat([box(0, 0, 4, 2, 0.1), box(0, 0, 4, 2, math.pi / 2 - 0.1), box(0, 0, 4, 2, math.pi - 0.1)])
    b = torch.cat([box(0, 0, 4, 2, 0), box(1, 0, 2, 4, 0)])
    # 4x2 against 4x2 and against 2x4, which from 0 to 2 and from -2 to 2 shares 2x2; turned, it is 2x4.
    expected = torch.tensor([[1, 4 / 12], [4 / 12, 4 / 12], [1, 4 / 12]], dtype=torch.float64)
    torch.testing.assert_close(aligned_bev_iou(a, b), expected)


def test_parts_do_not_change_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = random_boxes(100, 4), random_boxes(100, 5)
    whole = intersection_from_above(a, b)
    monkeypatch.setattr(overlap, "AT_ONCE", 7)
    torch.testing.assert_close(intersection_from_above(a, b), whole, atol=0, rtol=0)


def test_nothing_in_nothing_out() -> None:
    none = torch.empty(0, 7)
    assert bev_iou(none, box(0, 0, 1, 1, 0).float()).shape == (0, 1)
    assert iou_3d(box(0, 0, 1, 1, 0).float(), none).shape == (1, 0)
    assert aligned_bev_iou(none, none).shape == (0, 0)


def test_corners_go_round_from_the_front_left() -> None:
    corners = corners_from_above(box(1, 2, 4, 2, math.pi / 2))[0]
    expected = torch.tensor([[0, 4], [0, 0], [2, 0], [2, 4]], dtype=torch.float64)
    torch.testing.assert_close(corners, expected)
