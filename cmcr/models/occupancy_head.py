"""The small network that is asked, from the feature of a point, about a place near it.

Shapes: V voxels, M meetings of a query and a point, C channels, H hidden units.
"""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from cmcr.options import Options


class OccupancyHeadOptions(Options):
    """Size of the network (Eaphan/CMCR@36654d5:pretrain/lightning_trainer.py, ``occ_*``)."""

    width: PositiveInt = 128
    """Hidden units of each of its three hidden layers."""
    relu_before_output: bool = True
    """Whether the third hidden layer has a ReLU, as the others do. (Neither the released code nor ALSO's has one there:
    false. The last two layers are then one linear map.)"""


class OccupancyHead(nn.Module):
    """C + 3 -> H -> H -> H -> 2: a feature, and the query seen from its point, to occupancy logit and intensity.

    The first layer is linear, W [f; q - p] = W_f f + W_o (q - p). A point's feature is that of its voxel and meets many
    queries, so W_f f is made once for each voxel, by `project`, and not for each meeting, by `forward`.
    """

    def __init__(self, channels: int, options: OccupancyHeadOptions):
        super().__init__()
        self.channels, self.relu_before_output = channels, options.relu_before_output
        self.first = nn.Linear(channels + 3, options.width)
        self.second = nn.Linear(options.width, options.width)
        self.third = nn.Linear(options.width, options.width)
        self.output = nn.Linear(options.width, 2)

    def project(self, features_VC: Tensor) -> Tensor:
        """Return (V, H), the features' part of the first layer."""
        return F.linear(features_VC, self.first.weight[:, : self.channels], self.first.bias)

    def forward(self, projected_VH: Tensor, voxel_M: Tensor, offset_M3: Tensor) -> Tensor:
        """Answer M questions.

        Args:
            projected_VH: (V, H) what `project` returned.
            voxel_M: (M,) int64 voxel of each point that is asked.
            offset_M3: (M, 3) metres from that point to the place it is asked about.

        Returns:
            (M, 2): logit of being occupied, and intensity.
        """
        hidden = F.embedding(voxel_M, projected_VH) + F.linear(offset_M3, self.first.weight[:, self.channels :])
        hidden = self.second(hidden.relu_()).relu_()
        if self.relu_before_output:
            return self.output(self.third(hidden).relu_())
        weight = self.output.weight @ self.third.weight
        return F.linear(hidden, weight, self.output(self.third.bias))
