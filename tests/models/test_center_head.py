from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from cmcr.boxes.overlap import iou_3d
from cmcr.data.range_grid import RangeGrid
from cmcr.models.center_head import CenterHead, CenterHeadOptions, GroupOutput
from cmcr.models.center_targets import center_targets

GRID = RangeGrid(bounds_m=(-8, -8, -3, 8, 8, 1), cell_m=(0.1, 0.1, 0.1))
OPTIONS = CenterHeadOptions(groups=((2,), (1, 3)), channels=8)
BOXES = torch.tensor(
    [[3.1, -2.2, -1, 4, 1.8, 1.5, 0.3], [-4.5, 2, -1, 0.8, 0.7, 1.8, -2.5], [-1, 6.3, -1, 2, 1, 1.6, 3.0]]
)
CLASSES = torch.tensor([2, 1, 3])
VELOCITY = torch.tensor([[5.0, 0.5], [0, 1], [-2, 2]])


def head() -> CenterHead:
    torch.manual_seed(0)
    return CenterHead(OPTIONS, in_channels=4, grid=GRID, stride=8)


def test_perfect_outputs_find_the_boxes_as_they_are() -> None:
    network = head()
    outputs = []
    for group in OPTIONS.groups:
        place = torch.tensor([group.index(number) + 1 if number in group else 0 for number in CLASSES.tolist()])
        targets = center_targets(BOXES, place, VELOCITY, len(group), (20, 20), GRID, 8)
        logits = torch.where(targets.heat_KHW == 1, 4.0, -9.0)
        numbers = torch.zeros(10, 400)
        numbers[:, targets.cell_M] = targets.numbers_M.T
        outputs.append(GroupOutput(logits[None], numbers.view(1, 10, 20, 20)))
    (found,) = network.detect(outputs)
    assert found.classes_N.tolist() == [2, 1, 3]
    torch.testing.assert_close(found.boxes_N7, BOXES)
    torch.testing.assert_close(found.velocity_N2, VELOCITY)
    assert found.as_boxes().velocity is not None
    losses = network.losses(outputs, [BOXES], [CLASSES], [VELOCITY])
    assert losses["box"].item() == pytest.approx(0, abs=1e-6)
    assert losses["heat"].item() < 0.01


def test_a_few_steps_learn_a_scene() -> None:
    network = head()
    maps = torch.randn(2, 4, 20, 20, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimizer = torch.optim.Adam([*network.parameters(), maps], lr=0.02)
    # The second scan is empty, and the first does not know its velocities.
    boxes, classes = [BOXES, BOXES[:0]], [CLASSES, CLASSES[:0]]
    for _ in range(250):
        optimizer.zero_grad()
        losses = network.losses(network(maps), boxes, classes, [None, None])
        sum(losses.values()).backward()
        optimizer.step()
    first, second = network.detect(network(maps))
    assert iou_3d(first.boxes_N7[:3], BOXES).max(dim=0).values.min() > 0.7
    assert sorted(first.classes_N[:3].tolist()) == [1, 2, 3]
    assert len(second.scores_N) == 0 or second.scores_N.max() < first.scores_N[2]


def test_refuses_groups_that_miss_or_repeat_a_class() -> None:
    for groups in ((), ((1, 3),), ((1,), (1, 2))):
        with pytest.raises(ValidationError, match="every class"):
            CenterHeadOptions(groups=groups)
