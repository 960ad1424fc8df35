"""Where instances are, seen from above: a heatmap with a hill on each centre, and each point's way to its own centre.

As in Panoptic-PolarNet (arXiv:2103.14962), after Panoptic-DeepLab (arXiv:1911.10194). Shapes: B scans, N instances, S
cells along each axis of the bird's-eye grid, M voxels of things.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.models.birds_eye import BirdsEyeGrid

HeatmapLoss = Literal["mse", "focal"]

#: A hill is drawn as far as this many standard deviations, where it has fallen to 0.01.
_HILL = 3.0


def centre_heatmap(centre_N2: Tensor, scan_N: Tensor, scans: int, grid: BirdsEyeGrid, sigma_m: float) -> Tensor:
    """Return the (B, S, S) heatmap to be learned: the highest of the instances' hills in each cell.

        t(u) = max_n exp( -|u - c_n|^2 / (2 sigma^2) )

    with the distance between the middles of cell u and of the cell that holds centre n, so that each hill is exactly 1
    at its top. A centre that is not on the grid has none.

    Args:
        centre_N2: (N, 2) x and y in metres.
        scan_N: (N,) int64 scan of each instance.
        scans: B.
        grid: the cells.
        sigma_m: standard deviation in metres.
    """
    side, reach = grid.side, max(1, round(_HILL * sigma_m / grid.cell_m))
    cell_N, inside_N = grid.cells(centre_N2)
    cell_N, scan_N = cell_N[inside_N], scan_N[inside_N]
    step_W = torch.arange(-reach, reach + 1, device=centre_N2.device)
    down_WW, right_WW = torch.meshgrid(step_W, step_W, indexing="ij")
    row_NWW = (cell_N // side)[:, None, None] + down_WW
    column_NWW = (cell_N % side)[:, None, None] + right_WW
    hill_WW = torch.exp(-(down_WW**2 + right_WW**2) * (grid.cell_m / sigma_m) ** 2 / 2)
    on_grid_NWW = (row_NWW >= 0) & (row_NWW < side) & (column_NWW >= 0) & (column_NWW < side)
    place_NWW = (scan_N[:, None, None] * side + row_NWW) * side + column_NWW
    heat = torch.zeros(scans * side * side, device=centre_N2.device)
    hills = hill_WW.expand(len(cell_N), -1, -1)[on_grid_NWW].float()
    return heat.scatter_reduce_(0, place_NWW[on_grid_NWW], hills, "amax").view(scans, side, side)


def heatmap_loss(logits_BSS: Tensor, target_BSS: Tensor, kind: HeatmapLoss) -> Tensor:
    """Distance of a heatmap, the sigmoid of its logits, from its target: summed over cells, per hill of the batch.

    ``mse`` is the squared error. ``focal`` is CenterNet's (arXiv:1904.07850, eq. 1): with h the heatmap,

        -(1 - h)^2 log h  where t = 1,    -(1 - t)^4 h^2 log(1 - h)  elsewhere.

    A sum per hill does not change with the size of the grid, most of which is empty, as a mean over cells would.

    Args:
        logits_BSS: (B, S, S).
        target_BSS: (B, S, S) as `centre_heatmap` gives it.
        kind: which of the two.
    """
    tops_BSS = target_BSS == 1
    hills = tops_BSS.sum().clamp(min=1)
    heat_BSS = logits_BSS.sigmoid()
    if kind == "mse":
        return (heat_BSS - target_BSS).square().sum() / hills
    log_heat, log_rest = F.logsigmoid(logits_BSS), F.logsigmoid(-logits_BSS)
    top = (1 - heat_BSS).square() * log_heat
    elsewhere = (1 - target_BSS) ** 4 * heat_BSS.square() * log_rest
    return -torch.where(tops_BSS, top, elsewhere).sum() / hills


def offset_loss(offset_M2: Tensor, target_M2: Tensor) -> Tensor:
    """Mean distance along x plus mean distance along y, in metres; 0 without any voxel of a thing.

    Args:
        offset_M2: (M, 2) predicted way from each voxel of a thing to its instance's centre, in metres.
        target_M2: (M, 2) the true one.
    """
    return (offset_M2 - target_M2).abs().sum() / max(len(offset_M2), 1)
