"""The dense 2D network that detectors run on the map from above (SECOND, Sensors 2018, 18(10), 3337, Fig. 4)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from cmcr.options import Options

Levels = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class BevOptions(Options):
    """Size of the network; the defaults are SECOND's (OpenPCDet@8caccce, tools/cfgs/kitti_models/second.yaml)."""

    layers: Levels = (5, 5)
    """Convolutions of each level after its first, strided one."""
    strides: Levels = (1, 2)
    """Of each level against the one before; the first against the input."""
    channels: Levels = (128, 256)
    """Of each level."""
    up_channels: Levels = (256, 256)
    """Of each level once it is brought to the first level's resolution; what comes out has their sum."""
    batch_norm_momentum: PositiveFloat = 0.01
    """Share of a new batch in the running statistics."""

    @model_validator(mode="after")
    def _as_many(self) -> BevOptions:
        if len({len(self.layers), len(self.strides), len(self.channels), len(self.up_channels)}) != 1:
            raise ValueError("layers, strides, channels and up_channels need one entry for each level")
        return self


class BevBackbone(nn.Module):
    """Levels of 3x3 convolutions, each brought back to the resolution of the first and joined.

    Attributes:
        out_channels: channels of what `forward` returns.
        stride: cells of the input for one of the output.
    """

    def __init__(self, options: BevOptions, in_channels: int):
        super().__init__()
        self.levels, self.ups = nn.ModuleList(), nn.ModuleList()
        momentum, factor = options.batch_norm_momentum, 1
        for number, (depth, stride, channels, up) in enumerate(
            zip(options.layers, options.strides, options.channels, options.up_channels, strict=True)
        ):
            first = _convolution(nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False), channels, momentum)
            rest = [
                _convolution(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels, momentum)
                for _ in range(depth)
            ]
            factor *= stride if number else 1
            widen = nn.ConvTranspose2d(channels, up, factor, factor, bias=False)
            self.levels.append(nn.Sequential(first, *rest))
            self.ups.append(_convolution(widen, up, momentum))
            in_channels = channels
        self.out_channels, self.stride = sum(options.up_channels), options.strides[0]

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return the (B, out_channels, H / stride, W / stride) map."""
        raised = []
        for level, up in zip(self.levels, self.ups, strict=True):
            map_BCHW = level(map_BCHW)
            raised.append(up(map_BCHW))
        # An odd number of rows or columns was rounded up by the stride.
        height, width = raised[0].shape[2:]
        return torch.cat([each[..., :height, :width] for each in raised], dim=1)


def _convolution(layer: nn.Module, channels: int, momentum: float) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(channels, eps=1e-3, momentum=momentum), nn.ReLU(inplace=True))
