"""The engine for NVIDIA GPUs: spconv (github.com/traveller59/spconv), through its public modules."""

from __future__ import annotations

import torch
from spconv import pytorch as spconv
from torch import Tensor, nn

from cmcr.sparse.engine import Engine
from cmcr.sparse.tensor import Level

#: Under which spconv keeps the pairs of a `SparseConvTensor`; each of ours serves a single size of kernel.
_PAIRS = "pairs"


class SpconvEngine(Engine):
    """spconv's implicit matrix products where the kernel allows them, in float32.

    Under autocast, too: spconv 2.3 takes float16 then, whatever type was asked for, and small gradients vanish in it.
    """

    def __init__(self) -> None:
        self._layers: dict[tuple[int, int, int], nn.Module] = {}

    def neighbours(self, voxels: Level, kernel_size: int, stride: int) -> spconv.SparseConvTensor | None:  # noqa: ARG002
        """Return spconv's view of the voxels; the first convolution puts the pairs of its kernel into it.

        Where there is no voxel, as far from all points in a bounded grid, there is nothing to view.
        """
        if not len(voxels.coordinates):
            return None
        scan, position = voxels.coordinates[:, :1], voxels.coordinates[:, 1:] // stride
        lowest = position.amin(0)
        # Counted from zero, and z first, as in spconv's examples: its kernels then number offsets as ours, x fastest.
        indices = torch.cat([scan, (position - lowest).flip(1)], dim=1).int().contiguous()
        shape = (position.amax(0) - lowest + 1).flip(0).tolist()
        empty = torch.empty(len(indices), 1, device=indices.device)
        return spconv.SparseConvTensor(empty, indices, shape, int(scan.max()) + 1)

    def convolve(self, features_VC: Tensor, weight: Tensor, neighbours: spconv.SparseConvTensor | None) -> Tensor:
        """See `Engine`."""
        offsets, in_channels, out_channels = weight.shape
        # spconv 2.3 takes the weights of a kernel of one voxel in another layout than all others.
        if neighbours is None or offsets == 1:
            return features_VC @ weight[0]
        size = round(offsets ** (1 / 3))
        layer = self._layer(in_channels, out_channels, size)
        kernel = weight.view(size, size, size, in_channels, out_channels).permute(4, 0, 1, 2, 3).contiguous()
        with torch.autocast(features_VC.device.type, enabled=False):
            x = neighbours.replace_feature(features_VC.float().contiguous())
            y = torch.func.functional_call(layer, {"weight": kernel.float()}, (x,))
        neighbours.indice_dict = y.indice_dict
        return y.features

    def _layer(self, in_channels: int, out_channels: int, size: int) -> nn.Module:
        """Return a layer whose own weights are never used, and take neither memory nor random numbers."""
        key = (in_channels, out_channels, size)
        if key not in self._layers:
            with torch.device("meta"):
                self._layers[key] = spconv.SubMConv3d(
                    in_channels, out_channels, size, bias=False, indice_key=_PAIRS
                ).train()  # so that the pairs of the way back are made
        return self._layers[key]
