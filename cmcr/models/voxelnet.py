"""VoxelNet's sparse backbone as SECOND made it (Sensors 2018, 18(10), 3337), and its features at points.

OpenPCDet@8caccce, pcdet/models/backbones_3d/spconv_backbone.py, ``VoxelBackBone8x``, is the released form.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.data.range_grid import RangeGrid
from cmcr.models.synced_norm import RowNorm
from cmcr.options import Options
from cmcr.sparse.volume import SparseVolume, SubmanifoldVolumeConvolution, VolumeConvolution

#: x, y, z and intensity of a cell's points, on average.
INPUT_CHANNELS = 4
#: Cells of the input along x and y for one of the map.
MAP_STRIDE = 8


class VoxelNetOptions(Options):
    """Size of a VoxelNet; the defaults are VoxelBackBone8x."""

    kind: Literal["voxelnet"] = "voxelnet"
    """By which methods name the network they are defined for."""

    channels: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64, 64)
    """Channels at strides 1, 2, 4 and 8."""
    top: PositiveInt = 128
    """Channels of each height of the map."""
    batch_norm_momentum: PositiveFloat = 0.01
    """Share of a new batch in the running statistics."""
    heights_above: Literal[0, 1] = 1
    """Empty cells above the grid. With one, as in OpenPCDet, 40 heights become 2 in the map; SLidR pre-trains without
    (valeoai/SLidR@14729d0, model/spconv_backbone.py), and they become 1. The weights are the same."""


def map_size(options: VoxelNetOptions, grid: RangeGrid) -> tuple[int, int, int]:
    """Return the cells of the map along y and x, and the heights that are folded into its channels.

    Raises:
        ValueError: the grid is too low.
    """
    x, y, z = grid.shape
    # What the layers make of the grid's shape, once along each axis: halved with padding, and z without at last.
    for _ in range(3):
        x, y = (x + 1) // 2, (y + 1) // 2
    heights = ((((z + options.heights_above + 1) // 2 + 1) // 2 - 3) // 2 + 1 - 3) // 2 + 1
    if heights < 1:
        raise ValueError(
            f"a grid of {grid.shape} cells is too low for VoxelNet; it needs {25 - options.heights_above} of them"
        )
    return y, x, heights


class _Block(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, convolution: nn.Module, channels: int, momentum: float):
        super().__init__()
        self.convolution = convolution
        # Far from all points a batch may have no cell at all.
        self.norm = RowNorm(channels, eps=1e-3, momentum=momentum)

    def forward(self, x: SparseVolume) -> SparseVolume:
        y = self.convolution(x)
        return y.replace(self.norm(y.features).relu_())


class VoxelNet(nn.Module):
    """Four levels of sparse convolutions, the last with its heights folded into the channels of a dense map.

    No weight depends on the grid: a network trained on one may be run on another, with larger or smaller cells.

    Attributes:
        map_channels: channels of the map that `forward` returns.
        map_shape: its cells along y and x.
    """

    def __init__(self, options: VoxelNetOptions, grid: RangeGrid):
        super().__init__()
        self.grid, self.heights_above, momentum = grid, options.heights_above, options.batch_norm_momentum
        one, two, four, eight = options.channels

        def same(channels: int, in_channels: int | None = None) -> nn.Module:
            layer = SubmanifoldVolumeConvolution(in_channels or channels, channels)
            return _Block(layer, channels, momentum)

        def halve(in_channels: int, channels: int, pad_z: int = 1) -> nn.Module:
            layer = VolumeConvolution(in_channels, channels, (3, 3, 3), (2, 2, 2), (1, 1, pad_z))
            return _Block(layer, channels, momentum)

        self.layers = nn.Sequential(
            *(same(one, INPUT_CHANNELS), same(one)),
            *(halve(one, two), same(two), same(two)),
            *(halve(two, four), same(four), same(four)),
            *(halve(four, eight, pad_z=0), same(eight), same(eight)),
            _Block(VolumeConvolution(eight, options.top, (1, 1, 3), (1, 1, 2), (0, 0, 0)), options.top, momentum),
        )
        y, x, heights = map_size(options, grid)
        self.map_shape, self.map_channels = (y, x), options.top * heights

    @property
    def out_channels(self) -> int:
        """Width of a point's features, as `sample_map` reads them."""
        return self.map_channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells of the input along x, y and z, with those above the grid."""
        x, y, z = self.grid.shape
        return x, y, z + self.heights_above

    def forward(self, features_V4: Tensor, coordinates_V4: Tensor, scans: int) -> Tensor:
        """Return the (B, C, H, W) map of B scans; its rows run along y, its columns along x.

        Args:
            features_V4: (V, 4) of `cmcr.data.range_grid.Cells`.
            coordinates_V4: (V, 4) int32 scan, x, y, z.
            scans: B.
        """
        return self.layers(SparseVolume(features_V4, coordinates_V4, self.shape, scans)).from_above()


def sample_map(map_BCHW: Tensor, points_P3: Tensor, scan_P: Tensor, grid: RangeGrid) -> Tensor:
    """Read a map at points, bilinearly, as the SLidR family pre-trains VoxelNet.

    A point at x lies at column (x - low) / (8 cells), where column i stands for the place 8 i, as in
    valeoai/SLidR@14729d0 (pretrain/lightning_trainer_spconv.py, ``interpolate_from_bev_features``). A strided kernel is
    centred on input cell 8 i, whose middle is half a fine cell further on; the difference is left as released. Points
    beyond the last column or row read it; there the released weights cancel, and such points get zeros.

    Args:
        map_BCHW: rows along y, columns along x.
        points_P3: (P, 3) or more columns, metres in the LiDAR frame.
        scan_P: (P,) int64 the scan of each.
        grid: of the network's input.

    Returns:
        (P, C) features.
    """
    _, channels, height, width = map_BCHW.shape
    column = ((points_P3[:, 0] - grid.bounds_m[0]) / (grid.cell_m[0] * MAP_STRIDE)).clamp(0, width - 1)
    row = ((points_P3[:, 1] - grid.bounds_m[1]) / (grid.cell_m[1] * MAP_STRIDE)).clamp(0, height - 1)
    top, left = row.floor().long(), column.floor().long()
    down, right = (row - top)[:, None], (column - left)[:, None]
    cells = map_BCHW.permute(0, 2, 3, 1).reshape(-1, channels).to(points_P3.dtype)

    def at(r: Tensor, c: Tensor) -> Tensor:
        return cells[(scan_P * height + r.clamp(max=height - 1)) * width + c.clamp(max=width - 1)]

    upper = torch.lerp(at(top, left), at(top, left + 1), right)
    lower = torch.lerp(at(top + 1, left), at(top + 1, left + 1), right)
    return torch.lerp(upper, lower, down)
