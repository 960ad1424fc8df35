"""MinkUNet: the residual sparse U-Net of the field (arXiv:1904.08755), in any width and depth."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.options import Options
from cmcr.sparse import SparseConv3d, SparseTensor, SparseTransposedConv3d, SubmanifoldConv3d, concatenate

Planes = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt]


class MinkUNetOptions(Options):
    """Size of a MinkUNet; the defaults are MinkUNet34 (Res16UNet34C in valeoai/SLidR@14729d0:model/minkunet.py)."""

    kind: Literal["minkunet"] = "minkunet"
    """By which methods name the network they are defined for."""

    stem: PositiveInt = 32
    """Channels of the first layer."""
    planes: Planes = (32, 64, 128, 256, 256, 128, 96, 96)
    """Channels of the four levels down and the four up."""
    blocks: Planes = (2, 3, 4, 6, 2, 2, 2, 2)
    """Residual blocks of the four levels down and the four up."""
    batch_norm_momentum: PositiveFloat = 0.05
    """Share of a new batch in the running statistics (released: 0.05 in pre-training, 0.02 in fine-tuning)."""


class ResidualBlock(nn.Module):
    """Two 3^3 convolutions around a short cut."""

    def __init__(self, in_channels: int, channels: int, momentum: float):
        super().__init__()
        self.conv1, self.norm1 = SubmanifoldConv3d(in_channels, channels), nn.BatchNorm1d(channels, momentum=momentum)
        self.conv2, self.norm2 = SubmanifoldConv3d(channels, channels), nn.BatchNorm1d(channels, momentum=momentum)
        self.shortcut = (
            nn.Identity()
            if in_channels == channels
            else nn.Sequential(
                nn.Linear(in_channels, channels, bias=False), nn.BatchNorm1d(channels, momentum=momentum)
            )
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.conv1(x)
        y = self.conv2(y.replace(self.norm1(y.features).relu_()))
        return y.replace((self.norm2(y.features) + self.shortcut(x.features)).relu_())


class Level(nn.Module):
    """Change of resolution, then residual blocks."""

    def __init__(
        self, resample: nn.Module, resampled: int, skip: int, channels: int, blocks: int, momentum: float
    ) -> None:
        super().__init__()
        self.resample, self.norm = resample, nn.BatchNorm1d(resampled, momentum=momentum)
        widths = [resampled + skip, *[channels] * (blocks - 1)]
        self.blocks = nn.Sequential(*(ResidualBlock(width, channels, momentum) for width in widths))

    def forward(self, x: SparseTensor, skip: SparseTensor | None = None) -> SparseTensor:
        y = self.resample(x)
        y = y.replace(self.norm(y.features).relu_())
        return self.blocks(y if skip is None else concatenate(y, skip))


class MinkUNet(nn.Module):
    """Sparse U-Net over four halvings of the resolution.

    Attributes:
        out_channels: width of what `forward` returns.
    """

    def __init__(self, options: MinkUNetOptions, in_channels: int, out_channels: int | None):
        """Build the network.

        Args:
            options: widths and depths.
            in_channels: features of a voxel.
            out_channels: width of a last linear layer; None leaves it out, and the last level's features come out.
        """
        super().__init__()
        planes, blocks, momentum = options.planes, options.blocks, options.batch_norm_momentum
        self.stem, self.stem_norm = (
            SubmanifoldConv3d(in_channels, options.stem),
            nn.BatchNorm1d(options.stem, momentum=momentum),
        )
        widths = [
            options.stem,
            *planes,
        ]  # widths[i] goes into level i; the stem and levels 0..2 are kept for the way up
        self.down = nn.ModuleList(
            Level(SparseConv3d(widths[i], widths[i]), widths[i], 0, planes[i], blocks[i], momentum) for i in range(4)
        )
        self.up = nn.ModuleList(
            Level(
                SparseTransposedConv3d(widths[i], planes[i]), planes[i], widths[7 - i], planes[i], blocks[i], momentum
            )
            for i in range(4, 8)
        )
        self.final = nn.Identity() if out_channels is None else nn.Linear(planes[-1], out_channels)
        self.out_channels = planes[-1] if out_channels is None else out_channels

    def forward(self, x: SparseTensor) -> Tensor:
        """Return (V, C) features of the input's voxels, row for row.

        Args:
            x: (V, C_in) features at stride 1.
        """
        x = self.stem(x)
        x = x.replace(self.stem_norm(x.features).relu_())
        skips = []
        for level in self.down:
            skips.append(x)
            x = level(x)
        for level in self.up:
            x = level(x, skips.pop())
        return self.final(x.features)
