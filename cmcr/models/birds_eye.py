"""The bird's-eye grid: square cells in the x-y plane of the LiDAR frame, with the sensor in the middle."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveFloat
from torch import Tensor

from cmcr.options import Options


class BirdsEyeGrid(Options):
    """Cells seen from above. They are Cartesian whatever the voxels are, so that objects look alike everywhere."""

    range_m: PositiveFloat = 51.2
    """Half the side of the square in metres (chosen here: nuScenes labels few objects farther away)."""
    cell_m: PositiveFloat = 0.2
    """Side of a cell in metres (chosen here: pedestrians of a group stand half a metre apart)."""

    @property
    def side(self) -> int:
        """Cells along each axis; even, so that two by two of them make a coarser cell."""
        return 2 * math.ceil(self.range_m / self.cell_m)

    def cells(self, xy_N2: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (N,) int64 cell ``row * side + column`` of each point and the (N,) mask of those on the grid.

        Rows follow y and columns x. A point that is not on the grid has a number without meaning.
        """
        place_N2 = torch.floor(xy_N2 / self.cell_m).long() + self.side // 2
        inside_N = ((place_N2 >= 0) & (place_N2 < self.side)).all(dim=1)
        return place_N2[:, 1] * self.side + place_N2[:, 0], inside_N

    def centre_of(self, cell_N: Tensor) -> Tensor:
        """Return the (N, 2) float32 x and y in metres of the middle of each cell."""
        place_N2 = torch.stack([cell_N % self.side, cell_N // self.side], dim=1)
        return (place_N2 - self.side // 2 + 0.5) * self.cell_m
