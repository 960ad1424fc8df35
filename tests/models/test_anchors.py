from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from cmcr.boxes.coder import decode, direction_bin, encode
from cmcr.boxes.overlap import aligned_bev_iou
from cmcr.data.range_grid import RangeGrid
from cmcr.models.anchor_head import AnchorHead, AnchorHeadOptions
from cmcr.models.anchors import KITTI_ANCHORS, AnchorOptions, assign, make_anchors
from cmcr.models.bev import BevOptions
from cmcr.models.second import Second
from cmcr.models.voxelnet import VoxelNet, VoxelNetOptions

GRID = RangeGrid(bounds_m=(0, -8, -3, 16, 8, 1), cell_m=(0.5, 0.5, 0.1))


def test_anchors_stand_where_they_should() -> None:
    anchors = make_anchors(KITTI_ANCHORS, GRID, (5, 3))
    assert anchors.shape == (5, 3, 3, 2, 7)
    expected = torch.tensor([8.0, -4.0, -0.6 + 1.73 / 2, 0.8, 0.6, 1.73, math.pi / 2])
    torch.testing.assert_close(anchors[1, 1, 1, 1], expected)
    torch.testing.assert_close(anchors[4, 2, 0, 0], torch.tensor([16.0, 8, -1.0, 3.9, 1.6, 1.56, 0]))


@pytest.mark.parametrize("bev_stride", [1, 2])
def test_anchors_over_cells_stand_where_the_map_sees_a_single_return_best(bev_stride: int) -> None:
    """The cells of the map that a return reaches lie evenly around it, seen from the anchors over them."""
    grid = RangeGrid(bounds_m=(0, -8, -3, 16, 8, 1), cell_m=(0.1, 0.1, 0.1))
    backbone = VoxelNet(VoxelNetOptions(channels=(4, 4, 4, 4), top=4), grid).eval()
    bev = BevOptions(layers=(1,), strides=(bev_stride,), channels=(4,), up_channels=(4,))
    network = Second(backbone, bev, AnchorHeadOptions(placed="cells"))
    assert isinstance(network.head, AnchorHead)
    for parameter in (*backbone.parameters(), *network.parameters()):
        parameter.data.abs_()  # nothing that is reached is cut off
    stride = 8 * bev_stride
    cell = (5 * stride, 4 * stride, 20)
    features = torch.ones(1, 4)
    map_BCHW = backbone(features, torch.tensor([[0, *cell]]), 1)
    reached = network.above.eval()(map_BCHW)
    empty = network.above(torch.zeros_like(map_BCHW))
    rows, columns = torch.nonzero((reached != empty).any(dim=1)[0], as_tuple=True)
    places = network.head.anchors_HWCR7[rows, columns, 0, 0, :2]
    middle = torch.tensor([cell[0] * 0.1 + 0.05, -8 + cell[1] * 0.1 + 0.05])
    assert len(places) > 1
    torch.testing.assert_close((places.amin(dim=0) + places.amax(dim=0)) / 2, middle)


def slow_assign(anchors: Tensor, boxes: Tensor, classes: list[int]) -> tuple[list[int], list[int]]:
    """Return label and box of each anchor, anchor by anchor."""
    labels, chosen = [], []
    for place, anchor in enumerate(anchors.view(-1, 7)):
        number = place // 2 % 3
        mine = [row for row, kind in enumerate(classes) if kind == number + 1]
        overlaps = {row: aligned_bev_iou(anchor[None], boxes[row : row + 1]).item() for row in mine}
        label, box = 0, -1
        if overlaps:
            box = max(mine, key=lambda row: (overlaps[row], -row))
            if overlaps[box] >= KITTI_ANCHORS[number].unmatched:
                label = -1
            if overlaps[box] >= KITTI_ANCHORS[number].matched:
                label = number + 1
            for row in mine:
                best = aligned_bev_iou(anchors[:, :, number].reshape(-1, 7), boxes[row : row + 1]).max().item()
                if best > 0 and overlaps[row] == best:
                    label = number + 1
        labels.append(label)
        chosen.append(box if label > 0 else -1)
    return labels, chosen


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_slow_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    anchors = make_anchors(KITTI_ANCHORS, GRID, (17, 17)).double()
    classes = torch.tensor([1, 1, 1, 1, 2, 3, 0])
    size = torch.tensor([each.size_m for each in KITTI_ANCHORS], dtype=torch.float64)[(classes - 1).clamp(min=0)]
    uniform = torch.rand(7, 7, generator=generator, dtype=torch.float64)
    place = torch.tensor([1, -7, -1], dtype=torch.float64) + uniform[:, :3] * torch.tensor([14, 14, 1.0])
    boxes = torch.cat([place, size * (0.9 + 0.2 * uniform[:, 3:6]), uniform[:, 6:] * 6 - 3], dim=1)
    targets = assign(anchors, KITTI_ANCHORS, boxes, classes)
    labels, chosen = slow_assign(anchors, boxes, classes.tolist())
    assert targets.labels_A.tolist() == labels
    found = targets.labels_A > 0
    assert found.sum() >= 6  # every box of a class has an anchor
    wanted = boxes[torch.tensor(chosen)[found]]
    torch.testing.assert_close(targets.residuals_A7[found], encode(wanted, anchors.view(-1, 7)[found]))
    torch.testing.assert_close(decode(targets.residuals_A7, anchors.view(-1, 7))[found], wanted)
    assert torch.equal(targets.bins_A[found], direction_bin(wanted[:, 6]))


def test_no_boxes_and_boxes_out_of_reach() -> None:
    anchors = make_anchors(KITTI_ANCHORS, GRID, (3, 3))
    none = assign(anchors, KITTI_ANCHORS, torch.empty(0, 7), torch.empty(0, dtype=torch.int64))
    far = assign(anchors, KITTI_ANCHORS, torch.tensor([[99.0, 0, 0, 4, 2, 2, 0]]), torch.tensor([1]))
    assert none.labels_A.tolist() == far.labels_A.tolist() == [0] * (9 * 3 * 2)


def test_refuses_thresholds_out_of_order() -> None:
    with pytest.raises(ValidationError, match="lies above matched"):
        AnchorOptions(size_m=(1, 1, 1), bottom_m=0, matched=0.4, unmatched=0.5)
