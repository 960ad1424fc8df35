from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import TINY, VOXELS, cameras, invented_index, pretrain_job
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from cmcr.data.nuscenes_index import make_index
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera, Scan
from cmcr.errors import DataError, WeightsError
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.pictures import draw_features, draw_pretraining, forward_up, principal_colours, write_picture


def point_clouds(figure: Figure) -> list[PathCollection]:
    return [c for axes in figure.axes for c in axes.collections if isinstance(c, PathCollection)]


@pytest.fixture
def photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    monkeypatch.setattr("cmcr.data.images.decode_image", lambda *_: Image.fromarray(picture))


def test_colours_follow_the_directions_of_largest_variance() -> None:
    # Four unit vectors: the first two lie far from the other two, and within each couple the two lie close.
    angles = np.radians([0, 10, 90, 100])
    colours = principal_colours(np.column_stack([np.cos(angles), np.sin(angles), np.zeros((4, 2))]).repeat(30, axis=0))
    assert np.ptp(colours[:30], axis=0).max() == 0
    between, within = np.abs(colours[0] - colours[60]), np.abs(colours[0] - colours[30])
    assert between[0] > 0.6
    assert within[0] < 0.2
    assert (colours[:, 2] == colours[0, 2]).all()  # the third component does not exist


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), voxels=st.integers(1, 50), channels=st.integers(1, 8))
def test_colours_are_colours_and_depend_on_directions_alone(seed: int, voxels: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(voxels, channels)).astype(np.float32)
    colours = principal_colours(features)
    assert colours.shape == (voxels, 3)
    assert np.isfinite(colours).all()
    assert colours.min() >= 0
    assert colours.max() <= 1
    np.testing.assert_allclose(principal_colours(8 * features), colours, atol=1e-6)


def test_one_voxel_gone_astray_does_not_change_the_colours_of_the_others() -> None:
    features = np.random.default_rng(0).normal(size=(400, 4))
    astray = np.vstack([features, [1e4, -1e4, 0, 0]])
    assert np.abs(principal_colours(astray)[:-1] - principal_colours(features)).mean() < 0.05


@pytest.mark.usefixtures("photographs")
def test_points_stand_at_their_pixels_far_ones_below_near_ones() -> None:
    scan = invented_index(1).read(0)
    pairs = pair_points_with_pixels(scan.points, scan.cameras, 1.0)
    colours = np.random.default_rng(0).random((len(scan.points), 3))
    figure = draw_features(scan, pairs, colours, "title")
    *on_images, above = point_clouds(figure)
    assert len(on_images) == 2 * len(cameras())
    for number in range(2):
        mine = pairs.select(pairs.camera == number)
        depth = (1 - 2 * number) * scan.points[mine.point, 1]
        order = np.argsort(-depth, kind="stable")
        expected = np.column_stack([mine.column + 0.5, mine.row + 0.5])[order]
        for clouds in on_images[2 * number : 2 * number + 2]:
            np.testing.assert_array_equal(clouds.get_offsets(), expected)
        np.testing.assert_allclose(on_images[2 * number + 1].get_facecolors()[:, :3], colours[mine.point][order])
    by_height = np.argsort(scan.points[:, 2], kind="stable")
    np.testing.assert_allclose(above.get_offsets(), scan.points[by_height, :2])
    np.testing.assert_allclose(above.get_facecolors()[:, :3], colours[by_height])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "backbone.safetensors"
    torch.manual_seed(0)
    record = BackboneRecord(
        method="ppkt", dataset="invented", seed=0, backbone=TINY, voxels=VOXELS, config_hash="c0ffee", data_checksum=""
    )
    save_backbone(path, make_backbone(TINY), record)
    return path


@pytest.mark.usefixtures("photographs")
def test_the_same_weights_give_the_same_bytes(weights: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name, draw_pretraining(weights, pretrain_job(), invented_index(2), 1, "A title"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.usefixtures("photographs")
def test_what_does_not_fit_is_refused(weights: Path) -> None:
    with pytest.raises(DataError, match="no scan 2; there are 2"):
        draw_pretraining(weights, pretrain_job(), invented_index(2), 2, "")
    with pytest.raises(WeightsError, match="no such weight file"):
        draw_pretraining(weights.with_name("none.safetensors"), pretrain_job(), invented_index(2), 0, "")


def test_a_real_keyframe(shared: Path, weights: Path, tmp_path: Path) -> None:
    index = make_index("nuscenes", shared / "real" / "nuscenes", "v1.0-mini", "mini_train")
    figure = draw_pretraining(weights, pretrain_job(), index, 0, "A keyframe")
    assert [t.get_text() for axes in figure.axes for t in axes.texts][:6] == [
        "front left", "front", "front right", "back left", "back", "back right",
    ]  # fmt: skip
    assert sum(len(c.get_offsets()) for c in point_clouds(figure)[:-1:2]) == 22_115  # pairs of the official loader
    write_picture(tmp_path / "picture.png", figure)
    assert (tmp_path / "picture.png").stat().st_size < 500_000


@pytest.mark.parametrize("turn", range(4))
def test_forward_is_up_whatever_the_lidar_frame(turn: int) -> None:
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float64)
    frame = np.linalg.matrix_power(quarter, turn)  # from a frame with y forward to another
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]] @ frame.T
    ahead_and_right = np.array([[0.5, 9, 0], [4, 0, 0]]) @ frame.T
    camera = Camera("front", Path("none"), (2, 2), np.eye(3), pose)
    scan = Scan("t", "d", "s", np.column_stack([ahead_and_right, [1, 1]]).astype(np.float32), [camera], None, None)
    np.testing.assert_allclose(forward_up(scan), [[0.5, 9], [4, 0]], atol=1e-6)
