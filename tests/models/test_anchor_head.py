from __future__ import annotations

import math

import torch

from cmcr.boxes.overlap import iou_3d
from cmcr.data.range_grid import RangeGrid
from cmcr.models.anchor_head import AnchorHead, AnchorHeadOptions
from cmcr.models.anchors import assign

GRID = RangeGrid(bounds_m=(0, -8, -3, 16, 8, 1), cell_m=(0.5, 0.5, 0.1))
BOXES = torch.tensor(
    [
        [6.0, -3, -0.9, 4.0, 1.7, 1.5, 0.2],
        [11.0, 4, -0.9, 4.2, 1.6, 1.6, -1.4],
        [3.0, 5, 0.2, 0.8, 0.6, 1.7, 2.9],
        [12.0, -6, 0.2, 1.7, 0.6, 1.7, -2.8],
    ]
)
CLASSES = torch.tensor([1, 1, 2, 3])


def head(in_channels: int = 4, shape: tuple[int, int] = (33, 33)) -> AnchorHead:
    torch.manual_seed(0)
    return AnchorHead(AnchorHeadOptions(), in_channels, GRID, shape, 1)


def test_perfect_outputs_find_the_boxes_as_they_are() -> None:
    network = head()
    targets = assign(network.anchors_HWCR7, network.options.anchors, BOXES, CLASSES)
    logits = torch.full((len(targets.labels_A), 3), -9.0)
    found = torch.nonzero(targets.labels_A > 0).squeeze(1)
    logits[found, targets.labels_A[found] - 1] = 3.0
    directions = torch.nn.functional.one_hot(targets.bins_A, 2).float()
    # Half a turn in the residual is put right by the direction.
    residuals = targets.residuals_A7 + torch.tensor([0, 0, 0, 0, 0, 0, math.pi])
    outputs = logits[None], residuals[None], directions[None]
    (detections,) = network.detect(outputs)
    assert sorted(detections.classes_N.tolist()) == [1, 1, 2, 3]
    overlap = iou_3d(detections.boxes_N7, BOXES)
    best, row = overlap.max(dim=1)
    assert best.min() > 0.999
    assert torch.equal(detections.classes_N, CLASSES[row])
    assert (detections.boxes_N7[:, 6] - BOXES[row, 6]).cos().min() > 0.9999
    boxes = detections.as_boxes()
    assert len(boxes) == 4
    assert network.losses(outputs, [BOXES], [CLASSES])["box"].item() < 1e-6


def test_the_order_of_channels_is_that_of_the_anchors() -> None:
    network = head(in_channels=1, shape=(3, 4))
    with torch.no_grad():
        for layer in (network.classes, network.boxes, network.directions):
            layer.weight.zero_()
            layer.bias.zero_()
        network.boxes.bias[7 * (2 * 1 + 1) + 3] = 1.0  # class 2, second rotation, length
    _, residuals, _ = network(torch.zeros(1, 1, 3, 4))
    grid = residuals.view(3, 4, 3, 2, 7)
    assert (grid[:, :, 1, 1, 3] == 1).all()
    assert grid.sum() == 12


def test_a_few_steps_learn_a_scene() -> None:
    network = head(in_channels=8)
    maps = torch.randn(1, 8, 33, 33, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimizer = torch.optim.Adam([*network.parameters(), maps], lr=0.05)
    start = sum(network.losses(network(maps), [BOXES], [CLASSES]).values()).item()
    for _ in range(120):
        optimizer.zero_grad()
        sum(network.losses(network(maps), [BOXES], [CLASSES]).values()).backward()
        optimizer.step()
    end = sum(network.losses(network(maps), [BOXES], [CLASSES]).values()).item()
    assert end < 0.1 * start
    (detections,) = network.detect(network(maps))
    overlap = iou_3d(detections.boxes_N7[:4], BOXES)
    assert overlap.max(dim=0).values.min() > 0.7


def test_nothing_above_the_least_score() -> None:
    network = head()
    (detections,) = network.detect(network(torch.zeros(1, 4, 33, 33)))
    assert detections.boxes_N7.shape == (0, 7)
    assert len(detections.as_boxes()) == 0
