"""What a centre head is to find: a heatmap for each class and, at the cell of each centre, the box around it.

Shapes: K classes, H rows along y and W columns along x, N boxes of one scan, M of them that lie on the map.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from cmcr.data.range_grid import RangeGrid

#: What is told of a box at its cell: x and y within the cell, z in metres, the logarithms of length, width and height,
#: cosine and sine of yaw, velocity along x and y in metres a second.
NUMBERS: Final = 10
#: A centre that is off by the radius of a hill leaves a box that overlaps the true one at least so much; no hill is
#: smaller than two cells (tianweiy/CenterPoint, configs/nusc, and OpenPCDet@8caccce, center_head.py).
MIN_OVERLAP: Final = 0.1
MIN_RADIUS: Final = 2


class CenterTargets(NamedTuple):
    """What one scan's map is to say.

    Attributes:
        heat_KHW: (K, H, W) in [0, 1], 1 at the cells of centres.
        cell_M: (M,) int64 row * W + column of each centre.
        numbers_M: (M, `NUMBERS`); NaN for velocities that are not known.
    """

    heat_KHW: Tensor
    cell_M: Tensor
    numbers_M: Tensor


def center_targets(
    boxes_N7: Tensor,
    classes_N: Tensor,
    velocity_N2: Tensor | None,
    num_classes: int,
    map_shape: tuple[int, int],
    grid: RangeGrid,
    stride: int,
) -> CenterTargets:
    """Draw the heatmap and collect the numbers.

    Args:
        boxes_N7: boxes of one scan.
        classes_N: (N,) int64 from 1 to K; boxes of other classes are left out, as are those beside the map.
        velocity_N2: (N, 2), or None where there is none.
        num_classes: K.
        map_shape: H, W.
        grid: of the network's input.
        stride: its cells along x and y for one of the map.
    """
    height, width = map_shape
    if velocity_N2 is None:
        velocity_N2 = boxes_N7.new_full((len(boxes_N7), 2), torch.nan)
    cell_m = boxes_N7.new_tensor(grid.cell_m[:2]) * stride
    place_N2 = (boxes_N7[:, :2] - boxes_N7.new_tensor(grid.bounds_m[:2])) / cell_m
    column, row = place_N2.floor().long().unbind(1)
    on_map = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    chosen = torch.nonzero(on_map & (classes_N >= 1) & (classes_N <= num_classes)).squeeze(1)
    boxes, place, column, row = boxes_N7[chosen], place_N2[chosen], column[chosen], row[chosen]
    radius = hill_radius(boxes[:, 3] / cell_m[0], boxes[:, 4] / cell_m[1]).floor().clamp(min=MIN_RADIUS)
    # One hill a box: exp(-d^2 / 2 s^2) with s a sixth of its width, cut to the square of its radius.
    away_x = (torch.arange(width, device=boxes.device) - column[:, None])[:, None]
    away_y = (torch.arange(height, device=boxes.device) - row[:, None])[:, :, None]
    reach, spread = radius[:, None, None], ((2 * radius + 1) / 6)[:, None, None]
    hill_MHW = torch.exp(-(away_x**2 + away_y**2) / (2 * spread**2))
    hill_MHW = hill_MHW * ((away_x.abs() <= reach) & (away_y.abs() <= reach))
    heat = boxes.new_zeros(num_classes, height, width)
    number = (classes_N[chosen] - 1)[:, None, None].expand_as(hill_MHW)
    heat.scatter_reduce_(0, number, hill_MHW, "amax")
    numbers = torch.cat(
        [
            place - torch.stack([column, row], dim=1),
            boxes[:, 2:3],
            boxes[:, 3:6].log(),
            boxes[:, 6:].cos(),
            boxes[:, 6:].sin(),
            velocity_N2[chosen],
        ],
        dim=1,
    )
    return CenterTargets(heat, row * width + column, numbers)


def hill_radius(length: Tensor, width: Tensor, min_overlap: float = MIN_OVERLAP) -> Tensor:
    """Return how far two corners may move so that boxes still overlap by ``min_overlap`` (CornerNet, arXiv:1808.01244).

    The least of three cases: one corner inside and one outside, both inside, both outside. The roots are those of the
    released code, which divides the first two by 2 and not by 2 a; all that train with them share this.
    """
    total, area = length + width, length * width
    both = torch.sqrt(total**2 - 4 * area * (1 - min_overlap) / (1 + min_overlap))
    inside = torch.sqrt(4 * total**2 - 16 * (1 - min_overlap) * area)
    outside = torch.sqrt(4 * min_overlap**2 * total**2 + 16 * min_overlap * (1 - min_overlap) * area)
    radii = [(total + both) / 2, (2 * total + inside) / 2, (outside - 2 * min_overlap * total) / 2]
    return torch.stack(radii).min(dim=0).values


def boxes_at(
    numbers_M: Tensor, cell_M: Tensor, map_shape: tuple[int, int], grid: RangeGrid, stride: int
) -> tuple[Tensor, Tensor]:
    """Return the (M, 7) boxes and (M, 2) velocities that `center_targets` would tell at cells as ``numbers_M``."""
    column, row = cell_M % map_shape[1], cell_M // map_shape[1]
    place = torch.stack([column, row], dim=1) + numbers_M[:, :2]
    cell_m, low = numbers_M.new_tensor(grid.cell_m[:2]) * stride, numbers_M.new_tensor(grid.bounds_m[:2])
    yaw = torch.atan2(numbers_M[:, 7], numbers_M[:, 6])
    boxes = torch.cat([place * cell_m + low, numbers_M[:, 2:3], numbers_M[:, 3:6].exp(), yaw[:, None]], dim=1)
    return boxes, numbers_M[:, 8:]
