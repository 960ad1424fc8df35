"""MinkUNet: the published size, MinkowskiEngine's output from its own weights, and gradients everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sparse_volumes import random_voxels
from torch import nn

from cmcr.checkpoints import load_strictly
from cmcr.errors import WeightsError
from cmcr.models.minkowski import from_minkowski
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.sparse import SparseTensor

#: The network of fixtures/minkowski_unet_tiny.npz.
TINY = MinkUNetOptions(stem=8, planes=(8, 12, 16, 20, 20, 16, 12, 12), blocks=(1, 2, 1, 1, 1, 1, 1, 2))


def random_input(number: int = 200) -> SparseTensor:
    coordinates = random_voxels(number=number, side=12, scans=2)
    return SparseTensor(torch.rand(len(coordinates), 1, generator=torch.Generator().manual_seed(0)), coordinates)


def test_minkunet34_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = MinkUNet(MinkUNetOptions(), in_channels=1, out_channels=64)
    assert sum(p.numel() for p in network.parameters()) == 37_849_184


def test_gives_the_output_of_minkowski_engine(shared: Path):
    fixture = np.load(shared / "fixtures" / "minkowski_unet_tiny.npz")
    state = {n.removeprefix("state/"): torch.from_numpy(fixture[n]) for n in fixture.files if n.startswith("state/")}
    network = MinkUNet(TINY, in_channels=1, out_channels=10)
    load_strictly(network, from_minkowski(state), "minkowski_unet_tiny.npz")
    network.eval()
    with torch.no_grad():
        out = network(SparseTensor(torch.from_numpy(fixture["features"]), torch.from_numpy(fixture["coordinates"])))
    torch.testing.assert_close(F.normalize(out, dim=1), torch.from_numpy(fixture["output"]), rtol=1e-4, atol=1e-5)


def test_an_unknown_name_in_minkowskis_weights_is_not_lost(shared: Path):
    fixture = np.load(shared / "fixtures" / "minkowski_unet_tiny.npz")
    state = {n.removeprefix("state/"): torch.from_numpy(fixture[n]) for n in fixture.files if n.startswith("state/")}
    with pytest.raises(WeightsError, match=r"first unknown:  extra\.kernel \(1 in all\)"):
        load_strictly(MinkUNet(TINY, 1, 10), from_minkowski({**state, "extra.kernel": torch.zeros(1)}), "file")


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    network = MinkUNet(TINY, in_channels=1, out_channels=4)
    network(random_input()).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_without_a_last_layer_the_last_levels_features_come_out():
    network = MinkUNet(TINY, in_channels=1, out_channels=None)
    assert isinstance(network.final, nn.Identity)
    assert network.out_channels == 12
    assert network(random_input()).shape[1] == 12


def test_rows_stay_with_their_voxels():
    """Voxels in another order give the same features in that order (eval mode: no batch statistics)."""
    torch.manual_seed(0)
    network = MinkUNet(TINY, in_channels=1, out_channels=4).eval()
    x = random_input()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            network(SparseTensor(x.features[order], x.coordinates[order])), network(x)[order], rtol=1e-4, atol=1e-5
        )


def test_momentum_reaches_every_batch_norm():
    network = MinkUNet(MinkUNetOptions(**{**TINY.model_dump(), "batch_norm_momentum": 0.02}), 1, 4)
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm1d)} == {0.02}
