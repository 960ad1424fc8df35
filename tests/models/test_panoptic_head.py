from __future__ import annotations

import pytest
import torch

from cmcr.models.birds_eye import BirdsEyeGrid
from cmcr.models.panoptic_head import PanopticHead, PanopticHeadOptions

GRID = BirdsEyeGrid(range_m=4, cell_m=1)


@pytest.fixture
def head() -> PanopticHead:
    torch.manual_seed(0)
    return PanopticHead(5, 4, PanopticHeadOptions(grid=GRID, channels=6, layers=2)).eval()


def voxels(number: int, scans: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(number, 5, generator=generator)
    xy = 9 * torch.rand(number, 2, generator=generator) - 4.5
    return features, xy, torch.arange(number) % scans


def test_a_cell_has_the_largest_value_of_its_voxels_and_an_empty_one_zeros(head: PanopticHead) -> None:
    features, xy, scan = voxels(60, scans=2)
    plane = head._seen_from_above(features, xy, scan, 2)
    projected = head.to_plane(features)
    cells, inside = GRID.cells(xy)
    assert not inside.all()
    for number in range(2):
        for cell in range(GRID.side**2):
            mine = inside & (scan == number) & (cells == cell)
            expected = projected[mine].max(dim=0).values if mine.any() else torch.zeros(6)
            torch.testing.assert_close(plane[number, :, cell // GRID.side, cell % GRID.side], expected)


def test_scans_of_a_batch_do_not_see_each_other(head: PanopticHead) -> None:
    features, xy, scan = voxels(40, scans=2)
    together = head(features, xy, scan, 2)
    for number in range(2):
        mine = scan == number
        alone = head(features[mine], xy[mine], torch.zeros(int(mine.sum()), dtype=torch.int64), 1)
        torch.testing.assert_close(together.heat_BSS[number], alone.heat_BSS[0])
        torch.testing.assert_close(together.offset_V2[mine], alone.offset_V2)
        torch.testing.assert_close(together.class_VK[mine], alone.class_VK)
    assert together.heat_BSS.shape == (2, GRID.side, GRID.side)
    assert together.offset_V2.shape == (40, 2)
    assert together.class_VK.shape == (40, 4)


def test_two_layers_see_three_cells_to_each_side(head: PanopticHead) -> None:
    features, scan = 20 * voxels(50)[0], torch.zeros(50, dtype=torch.int64)
    place = torch.full((50, 2), 0.5)
    nobody = head(features[:0], place[:0], scan[:0], 1).heat_BSS[0]
    seen = (head(features, place, scan, 1).heat_BSS[0] - nobody).abs() > 1e-9
    rows, columns = seen.nonzero(as_tuple=True)
    assert (rows.min().item(), rows.max().item(), columns.min().item(), columns.max().item()) == (1, 7, 1, 7)


def test_the_heat_begins_low_everywhere_and_every_weight_learns(head: PanopticHead) -> None:
    features, xy, scan = voxels(40)
    output = head.train()(features, xy, scan, 1)
    assert output.heat_BSS.sigmoid().mean() < 0.3
    (output.class_VK.square().sum() + output.offset_V2.square().sum() + output.heat_BSS.square().sum()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in head.parameters())
