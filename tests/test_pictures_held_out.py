from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from invented import IMAGE_CHANNELS, TINY, VOXELS, Flat, images_of_one_scan, invented_index, pretrain_job
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from baselines.cmcr import CMCR, CMCROptions
from cmcr.data.batches import ScanDataset
from cmcr.data.images import ImageOptions
from cmcr.data.nuscenes_index import make_index
from cmcr.data.scan import Camera
from cmcr.models.backbone import BackboneRecord, make_backbone
from cmcr.pictures import write_picture
from cmcr.pictures_held_out import (
    CELL_M,
    CUT_M,
    REACH_M,
    ask_cut,
    cut_from_above,
    cut_from_the_side,
    densest_azimuth,
    draw_occupancy,
    draw_reconstruction,
    ground_height,
)
from cmcr.pretrain.held_out import Pretrained
from cmcr.pretrain.method import Channels
from cmcr.pretrain.views import Survey
from cmcr.results.held_out import HeldOut
from cmcr.results.provenance import collect_provenance


def points(*rows: Sequence[float]) -> NDArray[np.float32]:
    return np.array([[*row, 0.5] for row in rows], dtype=np.float32)


#: Ground at -1.8 with a wall along y = x, and one lonely point in another direction.
WALL = points(
    *[(x, y, -1.8) for x in range(-9, 10, 3) for y in range(-9, 10, 3)],
    *[(a, a, z) for a in (4, 5, 6) for z in (-1, 0)],
    (0, 8, 0),
)


def test_the_ground_is_where_most_low_points_are() -> None:
    assert ground_height(WALL) == pytest.approx(-1.8)
    assert ground_height(points((1, 1, 2))) == 0


def test_the_roof_of_a_real_vehicle_is_not_the_ground(shared: Path) -> None:
    index = make_index("nuscenes", shared / "real" / "nuscenes", "v1.0-mini", "mini_train")
    points_P4 = index.read(0, with_labels=False).points
    assert ground_height(points_P4) == pytest.approx(-1.84, abs=0.15)  # nuScenes' LIDAR_TOP is mounted at 1.84 m


def test_the_view_from_the_side_goes_where_most_stands() -> None:
    assert np.degrees(densest_azimuth(WALL, -1.8)) == pytest.approx(45)


def test_a_cut_from_above_holds_the_points_near_its_height() -> None:
    cut = cut_from_above(WALL, -1.8)
    assert cut.points_P2.tolist() == [[4, 4], [5, 5], [6, 6]]  # those at -1: 0.8 above the ground
    number = round(2 * REACH_M / CELL_M)
    assert cut.places_RC3.shape == (number, number, 3)
    np.testing.assert_allclose(
        cut.places_RC3[0, 1], [-REACH_M + 1.5 * CELL_M, -REACH_M + CELL_M / 2, CUT_M - 1.8], 1e-5
    )


def test_a_cut_from_the_side_runs_through_the_sensor() -> None:
    cut = cut_from_the_side(WALL, -1.8, np.pi / 4)
    wall = cut.points_P2[cut.points_P2[:, 1] > 0.1]
    np.testing.assert_allclose(wall[:, 0], np.repeat([4, 5, 6], 2) * np.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(wall[:, 1], [0.8, 1.8] * 3, rtol=1e-5)
    assert cut.sensor == (0, 1.8)
    places = cut.places_RC3.reshape(-1, 3)
    np.testing.assert_allclose(places[:, 0], places[:, 1], atol=1e-5)


def test_a_cell_shows_what_was_said_about_its_place() -> None:
    def ask(position_Q3: Tensor, scan_Q: Tensor) -> Tensor:
        assert not scan_Q.any()
        logit_Q = torch.where(position_Q3[:, 0] > 10, torch.nan, position_Q3[:, 1])
        return torch.stack([logit_Q, logit_Q], dim=1)

    nothing = torch.zeros(0)
    cut = cut_from_above(WALL, -1.8)
    found_RC = ask_cut(Survey(torch.zeros(0, 3), nothing, nothing, nothing, None, ask), cut)
    far_RC = cut.places_RC3[..., 0] > 10
    assert np.isnan(found_RC[far_RC]).all()
    np.testing.assert_allclose(found_RC[~far_RC], 1 / (1 + np.exp(-cut.places_RC3[..., 1][~far_RC])), rtol=1e-4)


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    """A CMCR that has learned nothing yet."""

    def decode_image(camera: Camera, least: tuple[int, int]) -> Image.Image:  # noqa: ARG001
        return Image.fromarray(images_of_one_scan()[int(camera.name == "back")])

    monkeypatch.setattr("cmcr.data.images.decode_image", decode_image)
    torch.manual_seed(0)
    backbone = make_backbone(TINY).eval()
    options = CMCROptions.model_validate({"channels": 16, "masks": {"patch_size_px": 8}, "decoder_divisor": 2})
    method = CMCR(options, Channels(backbone.out_channels, IMAGE_CHANNELS)).eval()
    record = BackboneRecord(
        method="cmcr", dataset="invented", seed=0, backbone=TINY, voxels=VOXELS, config_hash="c0ffee", data_checksum=""
    )
    images = ImageOptions(size=(32, 64))
    scans = ScanDataset(invented_index(2), range(2), VOXELS, images=images, with_labels=False)
    return Pretrained(pretrain_job(method="cmcr"), backbone, method, record, Flat(), scans)


def measured() -> HeldOut:
    return HeldOut(
        dataset="invented",
        split="validation",
        method="cmcr",
        seed=0,
        toy=True,
        num_scans=7,
        measures={"error_inside_masks": 0.0123, "occupancy_accuracy": 0.8125, "occupancy_majority_share": None},
        provenance=collect_provenance("c0ffee", "beef", ("0123abcd", False), 0.0, 1),
    )


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_images_stand_beside_each_other_with_their_errors(pretrained: Pretrained) -> None:
    figure = draw_reconstruction(pretrained, 1, measured(), "A title")
    rebuilt = pretrained.method.rebuild(pretrained.step(1))
    shown = [axes.images[0].get_array() for axes in figure.axes[:8]]
    assert all(image is not None for image in shown)
    masked, found, target, error = shown[:4]
    np.testing.assert_allclose(target, rebuilt.target_I3hw[0].permute(1, 2, 0).numpy(), atol=1e-6)
    np.testing.assert_allclose(found, rebuilt.rebuilt_I3hw[0].detach().permute(1, 2, 0).numpy(), atol=1e-6)
    np.testing.assert_allclose(error, np.abs(np.asarray(found) - np.asarray(target)).mean(axis=2), atol=1e-6)
    mask = rebuilt.masks_Ihw[0].numpy()
    assert mask.mean() == 0.5
    assert (np.asarray(masked)[mask] == 0).all()
    np.testing.assert_allclose(np.asarray(masked)[~mask], np.asarray(target)[~mask])
    inside = np.square(np.asarray(found) - np.asarray(target)).mean(axis=2)[mask].mean()
    assert f"front\n{inside:.4f}" in texts(figure)
    assert "7 held-out scans: 0.0123 (masks filled with the mean colour: n/a)" in texts(figure)


def test_occupied_space_is_blank_where_nobody_can_be_asked(pretrained: Pretrained) -> None:
    figure = draw_occupancy(pretrained, 0, measured(), "A title")
    said = texts(figure)
    assert "right on this scan's queries: " in said
    assert "on 7 held-out scans: 81.2 % (n/a)" in said
    probability = np.ma.asarray(figure.axes[1].images[0].get_array())
    places = cut_from_above(np.zeros((1, 4), dtype=np.float32), 0).places_RC3
    # The invented points lie within 10 m along x and y.
    assert np.ma.getmaskarray(probability)[(np.abs(places[..., :2]) > 11).any(axis=2)].all()
    assert probability.count() > 100
    assert 0 < probability.min() <= probability.max() < 1


def test_the_same_weights_give_the_same_bytes(pretrained: Pretrained, tmp_path: Path) -> None:
    for draw in (draw_reconstruction, draw_occupancy):
        for name in ("a.png", "b.png"):
            write_picture(tmp_path / name, draw(pretrained, 0, None, "A title"), points_first=False)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        with Image.open(tmp_path / "a.png") as image:
            assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert (tmp_path / "a.png").stat().st_size < 300_000
