from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmcr.boxes.coder import decode, direction_bin, encode, with_direction


def boxes(number: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(number, 7, generator=generator, dtype=torch.float64)
    return uniform * torch.tensor([70, 80, 4, 4, 2, 2, 12], dtype=torch.float64) + torch.tensor(
        [0, -40, -3, 0.4, 0.4, 0.4, -6], dtype=torch.float64
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_decode_undoes_encode(seed: int) -> None:
    box, anchor = boxes(20, seed), boxes(20, seed + 1)
    torch.testing.assert_close(decode(encode(box, anchor), anchor), box)


def test_residuals_by_hand() -> None:
    anchor = torch.tensor([[10.0, 0, -1, 4, 3, 2, 0]])  # its floor's diagonal is 5 m
    box = torch.tensor([[15.0, -10, 0, 4 * math.e, 3, 1, 0.5]])
    expected = torch.tensor([[1, -2, 0.5, 1, 0, -math.log(2), 0.5]])
    torch.testing.assert_close(encode(box, anchor), expected)
    torch.testing.assert_close(encode(anchor, anchor), torch.zeros(1, 7))


def test_bins_by_hand() -> None:
    degrees = torch.tensor([0.0, 44, 46, 90, 180, 224, 226, 270, 360, -180, -90])
    assert direction_bin(degrees.deg2rad()).tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 1]


@settings(max_examples=100, deadline=None)
@given(yaw=st.floats(-20, 20), turns=st.integers(-3, 3))
def test_a_yaw_known_up_to_half_a_turn_and_its_bin_give_it_back(yaw: float, turns: int) -> None:
    true = torch.tensor([yaw], dtype=torch.float64)
    found = with_direction(true + turns * math.pi, direction_bin(true))
    torch.testing.assert_close(torch.cat([found.cos(), found.sin()]), torch.cat([true.cos(), true.sin()]))
