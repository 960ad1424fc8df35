"""Changes of points are linear maps; pixels show after a change what they showed before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from cmcr.data.augment import (
    CuboidDrop,
    ImageCrop,
    PointAugmentation,
    Window,
    augment_points,
    draw_window,
    outside_cuboid,
)

NONE = PointAugmentation(rotation_deg=0, flip_x=0, flip_y=0)
POINTS = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    seed=st.integers(0, 2**32),
    rotation=st.floats(0, 180),
    flips=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    scale=st.tuples(st.floats(0.5, 1), st.floats(1, 2)),
)
def test_points_are_mapped_by_the_matrix(seed, rotation, flips, scale):
    options = PointAugmentation(rotation_deg=rotation, flip_x=flips[0], flip_y=flips[1], scale=scale)
    changed, matrix = augment_points(POINTS, options, rng(seed))
    np.testing.assert_allclose(changed[:, :3], POINTS[:, :3] @ matrix.T, atol=1e-5)
    np.testing.assert_array_equal(changed[:, 3], POINTS[:, 3])
    # An isometry times one factor within the limits; the z axis stays where it is.
    factor = matrix[2, 2]
    assert scale[0] <= factor <= scale[1]
    np.testing.assert_allclose(matrix @ matrix.T, factor**2 * np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(matrix[2, :2], 0)
    np.testing.assert_array_equal(matrix[:2, 2], 0)


def test_no_augmentation_leaves_the_same_bytes_in_a_new_array():
    changed, matrix = augment_points(POINTS, NONE, rng())
    np.testing.assert_array_equal(changed, POINTS)
    np.testing.assert_array_equal(matrix, np.eye(3))
    assert not np.shares_memory(changed, POINTS)


@pytest.mark.parametrize(("axis", "option"), [(0, "flip_x"), (1, "flip_y")])
def test_a_certain_flip_changes_one_sign(axis, option):
    changed, _ = augment_points(POINTS, NONE.model_copy(update={option: 1.0}), rng())
    expected = POINTS.copy()
    expected[:, axis] *= -1
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("limit", [45, 180])
def test_angles_fill_their_limits(limit):
    options = NONE.model_copy(update={"rotation_deg": limit})
    stream = rng()
    matrices = np.stack([augment_points(POINTS[:1], options, stream)[1] for _ in range(2000)])
    angles = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert np.abs(angles).max() <= limit
    counts, _ = np.histogram(angles, bins=8, range=(-limit, limit))
    assert counts.min() > 200  # 250 expected, with a deviation of 15


def test_defaults_mirror_each_axis_half_of_the_time():
    stream = rng()
    dets = [np.linalg.det(augment_points(POINTS[:1], PointAugmentation(), stream)[1]) for _ in range(1000)]
    assert 430 < np.sum(np.array(dets) < 0) < 570
    assert np.allclose(np.abs(dets), 1)


def test_the_number_of_draws_does_not_depend_on_the_options():
    first, second = rng(), rng()
    augment_points(POINTS, NONE, first)
    augment_points(POINTS, PointAugmentation(scale=(0.9, 1.1)), second)
    assert first.random() == second.random()


@pytest.mark.parametrize(
    "options", [{"scale": (1.1, 0.9)}, {"scale": (0, 1)}, {"flip_x": 1.5}, {"rotation_deg": 200}, {"roll": 3}]
)
def test_impossible_point_options_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        PointAugmentation(**options)


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose red is twice the row and whose green is the column."""
    row, column = np.mgrid[:height, :width]
    return np.stack([2 * row, column, 0 * row], axis=2).astype(np.uint8)


def interpolate(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values of ``image`` between its pixels, bilinearly."""
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, across = (row - top)[:, None], (column - left)[:, None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return upper * (1 - down) + lower * down


@given(
    top=st.integers(0, 60),
    left=st.integers(0, 150),
    height=st.integers(30, 60),
    width=st.integers(40, 100),
    flipped=st.booleans(),
    size=st.tuples(st.integers(20, 150), st.integers(20, 250)),
)
def test_pixels_show_the_same_content_after_crop_resize_and_flip(top, left, height, width, flipped, size):
    image = ramp(120, 250)
    window = Window(top, left, height, width, flipped)
    view = window.view(Image.fromarray(image), size)
    assert view.shape == (*size, 3)
    # At the window's own edge the resampling filter sees one side only; look where it sees both.
    margin_row, margin_column = (int(np.ceil(2 * max(1, a / b))) for a, b in ((height, size[0]), (width, size[1])))
    row, column = np.mgrid[
        top + margin_row : top + height - margin_row, left + margin_column : left + width - margin_column
    ]
    row, column = row.ravel(), column.ravel()
    seen = interpolate(view.astype(float), *window.follow(row, column, size))
    np.testing.assert_allclose(seen[:, 0], 2 * row, atol=1.01)
    np.testing.assert_allclose(seen[:, 1], column, atol=1.01)


def test_a_window_of_the_same_size_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    row, column = np.mgrid[:20, :30].reshape(2, -1)
    for flipped in (False, True):
        window = Window.whole((20, 30), flipped)
        new_row, new_column = window.follow(row, column, (20, 30))
        view = window.view(Image.fromarray(image), (20, 30))
        np.testing.assert_array_equal(view[new_row.astype(int), new_column.astype(int)], image[row, column])


def test_a_label_map_keeps_its_labels():
    labels = np.repeat(np.array([[3, 250]], dtype=np.uint8), 10, axis=1).repeat(20, axis=0)
    view = Window(0, 5, 20, 10).view(Image.fromarray(labels), (7, 9), Image.Resampling.NEAREST)
    assert view.shape == (7, 9)
    assert set(np.unique(view)) == {3, 250}


@given(row=st.lists(st.integers(0, 899), min_size=1, max_size=50), seed=st.integers(0, 1000))
def test_followed_pixels_stay_inside_the_view(row, seed):
    row = np.array(row)
    column = np.random.default_rng(seed).integers(0, 1600, len(row))
    window = draw_window((900, 1600), row, column, ImageCrop(), rng(seed))
    kept = window.contains(row, column)
    new_row, new_column = window.follow(row[kept], column[kept], (22, 41))
    assert ((new_row >= 0) & (new_row <= 21)).all()
    assert ((new_column >= 0) & (new_column <= 40)).all()


def spread(number: int, size: tuple[int, int] = (900, 1600)) -> tuple[np.ndarray, np.ndarray]:
    stream = rng(1)
    return stream.integers(0, size[0], number), stream.integers(0, size[1], number)


def test_crops_keep_to_area_ratio_and_the_image():
    row, column = spread(20_000)  # dense enough for every crop to hold 1024 pairs
    stream = rng()
    windows = [draw_window((900, 1600), row, column, ImageCrop(), stream) for _ in range(500)]
    area = np.array([w.height * w.width for w in windows]) / (900 * 1600)
    ratio = np.array([w.width / w.height for w in windows])
    assert 0.299 < area.min() < 0.32
    assert 0.95 < area.max() <= 1
    assert 14 / 9 - 0.01 < ratio.min() < ratio.max() < 17 / 9 + 0.01
    assert all(w.top + w.height <= 900 and w.left + w.width <= 1600 and w.top >= 0 and w.left >= 0 for w in windows)
    assert 200 < sum(w.flipped for w in windows) < 300
    assert len({(w.top, w.left) for w in windows}) > 450


@pytest.mark.parametrize("number", [500, 3000])
def test_crops_keep_1024_pairs_or_three_quarters(number):
    row, column = spread(number)
    stream = rng()
    for _ in range(100):
        kept = draw_window((900, 1600), row, column, ImageCrop(), stream).contains(row, column).sum()
        assert kept > 1024 or kept >= 0.75 * number


def test_an_image_without_pairs_is_cropped_all_the_same():
    none = np.empty(0, dtype=np.int64)
    assert draw_window((900, 1600), none, none, ImageCrop(), rng()) != Window.whole((900, 1600))


def test_the_whole_image_is_taken_where_no_crop_will_do():
    corners = np.array([0, 0, 899, 899]), np.array([0, 1599, 0, 1599])
    options = ImageCrop(area=(0.3, 0.5), flip=1)
    assert draw_window((900, 1600), *corners, options, rng()) == Window.whole((900, 1600), flipped=True)
    # No crop of 14:9 to 17:9 covers 30 % of a panorama.
    assert draw_window((100, 2000), *spread(5000, (100, 2000)), ImageCrop(flip=0), rng()) == Window.whole((100, 2000))


def test_what_is_dropped_lies_in_a_cuboid_around_a_point_and_nothing_else_does():
    stream, points = rng(), rng(3).uniform(-1, 1, (3000, 4)).astype(np.float32) * (50, 20, 2, 1)
    largest = np.zeros(3)
    for _ in range(200):
        kept = outside_cuboid(points, CuboidDrop(), stream)
        inside = points[~kept, :3]
        if not len(inside):
            continue
        low, high = inside.min(axis=0), inside.max(axis=0)
        assert not ((points[kept, :3] > low) & (points[kept, :3] < high)).all(axis=1).any()
        largest = np.maximum(largest, (high - low) / np.ptp(points[:, :3], axis=0))
    assert (largest > 0.15).all()
    assert (largest <= 0.2).all()


def test_nothing_is_dropped_from_a_cuboid_without_size():
    assert outside_cuboid(POINTS, CuboidDrop(largest_share=0), rng()).all()


def test_replaced_fields_are_checked_and_the_others_stay():
    merged = NONE.merged_with({"drop_cuboid": {}, "flip_x": 1})
    assert merged.drop_cuboid == CuboidDrop()
    assert (merged.flip_x, merged.flip_y, merged.rotation_deg) == (1, 0, 0)
    with pytest.raises(ValidationError, match="drop_cubiod"):
        NONE.merged_with({"drop_cubiod": {}})
