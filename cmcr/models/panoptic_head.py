"""What a panoptic network puts on the backbone: classes and offsets per voxel, and a heatmap of centres from above.

Shapes: V voxels, B scans, S cells along each axis of the bird's-eye grid, K classes, C backbone channels, H of the
plane.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from cmcr.models.birds_eye import BirdsEyeGrid
from cmcr.options import Options

#: What the heatmap begins with in every cell, as in CenterNet (arXiv:1904.07850, section 6): most of them are empty.
_FIRST_HEAT = 0.1


class PanopticHeadOptions(Options):
    """Size of the head."""

    grid: BirdsEyeGrid = BirdsEyeGrid()
    """The cells of the heatmap."""
    channels: PositiveInt = 32
    """Channels of the plane."""
    layers: PositiveInt = 3
    """Convolutions of the plane, 3 x 3, each with twice the reach of the one before: three layers see 7 cells to each
    side. (A car is hollow from above: its centre lies up to two metres from its points.)"""


class PanopticOutput(NamedTuple):
    """What the head says about a batch."""

    class_VK: Tensor
    """Class logits."""
    offset_V2: Tensor
    """Metres along x and y from the point that stands for the voxel to the centre of its instance."""
    heat_BSS: Tensor
    """Logits of the heatmap of centres."""


class PanopticHead(nn.Module):
    """Three small heads on voxel features.

    Classes are a linear map, as in segmentation; offsets have a hidden layer as wide as the backbone. The heatmap needs
    a plane: each voxel's features, through a linear layer and a ReLU, go to the cell below the point that stands for
    it; a cell takes the largest value of each channel over its voxels, and an empty one has zeros. So Cartesian and
    cylindrical voxels come to the same plane, and about height it knows what the backbone knows. Convolutions carry
    the features to the centres, which often lie in empty cells.
    """

    def __init__(self, in_channels: int, classes: int, options: PanopticHeadOptions):
        super().__init__()
        self.grid, channels = options.grid, options.channels
        self.classes = nn.Linear(in_channels, classes)
        self.offset = nn.Sequential(nn.Linear(in_channels, in_channels), nn.ReLU(), nn.Linear(in_channels, 2))
        self.to_plane = nn.Sequential(nn.Linear(in_channels, channels), nn.ReLU())
        layers: list[nn.Module] = []
        for number in range(options.layers):
            reach = 2**number
            layers += [
                nn.Conv2d(channels, channels, 3, padding=reach, dilation=reach, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        self.plane = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1, bias=False))
        self.heat_bias = nn.Parameter(torch.tensor(math.log(_FIRST_HEAT / (1 - _FIRST_HEAT))))

    def forward(self, voxel_VC: Tensor, xy_V2: Tensor, scan_V: Tensor, scans: int) -> PanopticOutput:
        """Look at a batch.

        Args:
            voxel_VC: (V, C) backbone features.
            xy_V2: (V, 2) metres, of the point that stands for each voxel.
            scan_V: (V,) int64 scan of each voxel.
            scans: B.
        """
        heat_BSS = self.plane(self._seen_from_above(voxel_VC, xy_V2, scan_V, scans))[:, 0] + self.heat_bias
        return PanopticOutput(self.classes(voxel_VC), self.offset(voxel_VC), heat_BSS)

    def _seen_from_above(self, voxel_VC: Tensor, xy_V2: Tensor, scan_V: Tensor, scans: int) -> Tensor:
        """Return (B, H, S, S): the largest value of each channel over the voxels of a cell."""
        side = self.grid.side
        cell_V, inside_V = self.grid.cells(xy_V2)
        place_M = (scan_V * side * side + cell_V)[inside_V]
        feature_MH = self.to_plane(voxel_VC[inside_V])
        plane = feature_MH.new_zeros(scans * side * side, feature_MH.shape[1])
        plane = plane.scatter_reduce(0, place_M[:, None].expand_as(feature_MH), feature_MH, "amax")
        return plane.view(scans, side, side, -1).permute(0, 3, 1, 2)
