from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from invented import TINY

from cmcr.models.minkowski import from_minkowski, to_minkowski
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions


def test_the_way_back_gives_minkowskis_names_and_shapes(shared: Path) -> None:
    fixture = np.load(shared / "fixtures" / "minkowski_unet_tiny.npz")
    state = {n.removeprefix("state/"): torch.from_numpy(fixture[n]) for n in fixture.files if n.startswith("state/")}
    back = to_minkowski(from_minkowski(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


def test_every_name_changes_and_comes_back() -> None:
    # Widths that all differ, so that each block has a short cut and no two levels can be mixed up.
    wide = MinkUNetOptions(stem=3, planes=(4, 5, 6, 7, 8, 9, 10, 11), blocks=(1, 2, 3, 1, 2, 1, 1, 2))
    for options in (TINY, wide):
        state = MinkUNet(options, in_channels=1, out_channels=4).state_dict()
        there = to_minkowski(state)
        assert not set(there) & set(state) - {"final.bias"}
        back = from_minkowski(there)
        assert back.keys() == state.keys()
        assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


def test_names_of_the_released_network() -> None:
    """As in valeoai/SLidR@14729d0:model/res16unet.py; the number before ``s2`` is the stride a layer starts from."""
    with torch.device("meta"):
        names = to_minkowski(MinkUNet(MinkUNetOptions(), in_channels=1, out_channels=64).state_dict())
    assert {name: tuple(names[name].shape) for name in names if name.startswith("conv")} == {
        "conv0p1s1.kernel": (27, 1, 32),
        "conv1p1s2.kernel": (8, 32, 32),
        "conv2p2s2.kernel": (8, 32, 32),
        "conv3p4s2.kernel": (8, 64, 64),
        "conv4p8s2.kernel": (8, 128, 128),
        "convtr4p16s2.kernel": (8, 256, 256),
        "convtr5p8s2.kernel": (8, 256, 128),
        "convtr6p4s2.kernel": (8, 128, 96),
        "convtr7p2s2.kernel": (8, 96, 96),
    }
    assert tuple(names["block5.0.downsample.0.kernel"].shape) == (384, 256)
    assert tuple(names["final.kernel"].shape) == (96, 64)
    assert tuple(names["final.bias"].shape) == (1, 64)
