from __future__ import annotations

import numpy as np
import pytest
import torch
from invented import IMAGE_SIZE, TINY, VOXELS, invented_index

from baselines.cmcr import CMCR, CMCROptions
from cmcr.data.batches import ScanDataset, collate
from cmcr.data.images import ImageOptions
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.diagnostics.gather import FrozenNetworks, Gathered, gather, spread_positions, whole_scans
from cmcr.models.backbone import make_backbone
from cmcr.models.image_encoder import SmallResNet, SmallTeacherOptions
from cmcr.models.minkunet import MinkUNet
from cmcr.models.sampling import sample_pixels
from cmcr.pretrain.method import Channels

from .conftest import TEACHER

IMAGES = ImageOptions(size=IMAGE_SIZE)
POSITIONS = [0, 2]
SCANS = whole_scans(invented_index(3), POSITIONS, VOXELS, IMAGES)


def networks() -> tuple[MinkUNet, CMCR, SmallResNet]:
    torch.manual_seed(0)
    backbone = make_backbone(TINY)
    encoder = SmallResNet(SmallTeacherOptions(**TEACHER.model_dump()))
    encoder.frozen()
    return backbone, CMCR(CMCROptions(channels=8), Channels(backbone.out_channels, encoder.out_channels)), encoder


def gathered(points_per_scan: int = 1000) -> Gathered:
    return gather(SCANS, points_per_scan, FrozenNetworks(*networks(), device="cpu"))


@pytest.mark.parametrize(
    ("length", "number", "expected"),
    [(10, 2, [0, 9]), (5, 3, [0, 2, 4]), (3, 7, [0, 1, 2]), (1, 4, [0]), (9, 1, [0])],
)
def test_scans_are_evenly_spread(length: int, number: int, expected: list[int]) -> None:
    assert spread_positions(length, number) == expected


@pytest.mark.usefixtures("pictures")
def test_every_row_belongs_to_its_point() -> None:
    found, (backbone, method, _) = gathered(), networks()
    backbone.eval()
    scans = ScanDataset(invented_index(3), POSITIONS, VOXELS, images=IMAGES)
    batch = collate([scans[0], scans[1]])
    assert batch.labels_P is not None
    assert torch.equal(found.labels, batch.labels_P)
    torch.testing.assert_close(found.targets["intensity"], batch.points_P4[:, 3:].double())
    with torch.no_grad():
        # One scan at a time: in evaluation, scans do not see each other.
        voxel_VC = backbone(batch.voxels())
        torch.testing.assert_close(found.points["backbone"], voxel_VC[batch.voxel_P])
        for name, rows in method.point_heads(voxel_VC).items():
            torch.testing.assert_close(found.points[name], rows[batch.voxel_P])
    torch.testing.assert_close(found.points["shared"].norm(dim=1), torch.ones(600))
    torch.testing.assert_close(found.pixels["shared"].norm(dim=1), torch.ones(len(found.seen)))
    assert set(found.points) == set(found.pixels) == {"backbone", "shared", "specific"}


@pytest.mark.usefixtures("pictures")
def test_pixels_and_colours_are_those_of_the_first_camera_that_sees_a_point() -> None:
    found, (_, _, encoder) = gathered(), networks()
    index = invented_index(3)
    expected_seen = []
    for number, position in enumerate(POSITIONS):
        scan = index.read(position)
        pairs = pair_points_with_pixels(scan.points, scan.cameras)
        first = {point: i for i, point in reversed(list(enumerate(pairs.point)))}
        for point, i in sorted(first.items()):
            colour = found.targets["colour"][300 * number + point].numpy()
            if pairs.camera[i] == 0:  # red, up to the compression of the file
                np.testing.assert_allclose(colour, (1, 0, 0), atol=0.03)
            else:
                np.testing.assert_allclose(colour, pairs.column[i] / (IMAGE_SIZE[1] - 1), atol=0.03)
        expected_seen += [300 * number + point for point in sorted(first)]
    assert found.seen.tolist() == expected_seen
    assert torch.isnan(found.targets["colour"]).any(dim=1).sum() == 600 - len(expected_seen)

    scans = ScanDataset(index, POSITIONS, VOXELS, images=IMAGES)
    batch = collate([scans[0]])
    assert batch.pairs is not None
    assert batch.images is not None
    with torch.no_grad():
        rows = sample_pixels(encoder(batch.images), batch.pairs, batch.image_size)
    for row, point in enumerate(batch.pairs.point[:20].tolist()):  # of the first camera, so the first of their points
        torch.testing.assert_close(found.pixels["backbone"][expected_seen.index(point)], rows[row])


@pytest.mark.usefixtures("pictures")
def test_a_draw_is_part_of_all_points_and_the_same_for_every_network() -> None:
    everything, some = gathered(), gathered(100)
    assert len(some.labels) == 200
    # Intensities are distinct, so they name the points.
    place = {value: i for i, value in enumerate(everything.targets["intensity"][:, 0].tolist())}
    rows = [place[value] for value in some.targets["intensity"][:, 0].tolist()]
    assert rows == sorted(rows)
    assert sum(row < 300 for row in rows) == 100
    torch.testing.assert_close(some.points["specific"], everything.points["specific"][rows])
    for name in ("height", "normal", "distance", "colour"):
        torch.testing.assert_close(some.targets[name], everything.targets[name][rows], equal_nan=True)
    assert [rows[i] for i in some.seen] == [row for row in rows if row in set(everything.seen.tolist())]


@pytest.mark.usefixtures("pictures")
def test_crops_are_left_out() -> None:
    options = ImageOptions.model_validate({"size": IMAGE_SIZE, "crop": {}})
    scans = whole_scans(invented_index(3), POSITIONS, VOXELS, options)
    found = gather(scans, 1000, FrozenNetworks(*networks(), device="cpu"))
    assert torch.equal(found.seen, gathered().seen)
    assert torch.equal(found.pixels["backbone"], gathered().pixels["backbone"])


@pytest.mark.usefixtures("pictures")
def test_without_a_method_there_is_the_backbone_alone() -> None:
    backbone, _, encoder = networks()
    found = gather(SCANS, 50, FrozenNetworks(backbone, None, encoder, device="cpu"))
    assert set(found.points) == set(found.pixels) == {"backbone"}
