from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.sparse.volume import SparseVolume, SubmanifoldVolumeConvolution, Triple, VolumeConvolution, strided_map

SHAPE = (7, 6, 9)


def volume(seed: int, cells: int = 40, channels: int = 3, shape: Triple = SHAPE) -> SparseVolume:
    """Some cells of two scans in no order; scan 2 of three has none."""
    generator = torch.Generator().manual_seed(seed)
    every = torch.cartesian_prod(*(torch.arange(size) for size in (2, *shape)))
    chosen = every[torch.randperm(len(every), generator=generator)[:cells]].int()
    features = torch.randn(len(chosen), channels, generator=generator, dtype=torch.float64, requires_grad=True)
    return SparseVolume(features, chosen, shape, scans=3)


def dense_weight(weight: Tensor, kernel: Triple) -> Tensor:
    """Return the (C_out, C_in, X, Y, Z) weight of a dense convolution; offsets are numbered x fastest."""
    x, y, z = kernel
    return weight.view(z, y, x, *weight.shape[1:]).permute(4, 3, 2, 1, 0)


def gradients(output: Tensor, probe: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad((output * probe).sum(), inputs)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    kernel=st.tuples(*[st.integers(1, 3)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3),
    padding=st.tuples(*[st.integers(0, 1)] * 3),
    cells=st.sampled_from([1, 5, 40, 300]),
)
def test_strided_equals_dense(seed: int, kernel: Triple, stride: Triple, padding: Triple, cells: int) -> None:
    x = volume(seed, cells)
    layer = VolumeConvolution(3, 4, kernel, stride, padding).double()
    y = layer(x)
    expected = F.conv3d(x.dense(), dense_weight(layer.weight, kernel), stride=stride, padding=padding)
    assert y.shape == tuple(expected.shape[2:])
    torch.testing.assert_close(y.dense(), expected)
    probe = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(
        gradients(y.dense(), probe, x.features, layer.weight),
        gradients(expected, probe, x.features, layer.weight),
    )
    # The outputs are exactly the cells whose kernel meets an input.
    occupied = SparseVolume(torch.ones(len(x), 1, dtype=torch.float64), x.coordinates, x.shape, x.scans).dense()
    met = F.conv3d(occupied, torch.ones(1, 1, *kernel, dtype=torch.float64), stride=stride, padding=padding) > 0
    cells_met = torch.nonzero(met[:, 0]).int()
    assert torch.equal(y.coordinates, cells_met)


@pytest.mark.parametrize("cells", [1, 40, 500])
def test_submanifold_equals_dense_at_its_cells(cells: int) -> None:
    x = volume(0, cells)
    layer = SubmanifoldVolumeConvolution(3, 4).double()
    y = layer(x)
    dense = F.conv3d(x.dense(), dense_weight(layer.weight, (3, 3, 3)), padding=1)
    scan, i, j, k = x.coordinates.long().T
    expected = dense[scan, :, i, j, k]
    torch.testing.assert_close(y.features, expected)
    probe = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(
        gradients(y.features, probe, x.features, layer.weight), gradients(expected, probe, x.features, layer.weight)
    )
    assert y.coordinates is x.coordinates
    assert layer(y.replace(x.features)).features.equal(y.features)  # from the same map


def test_no_cells() -> None:
    x = SparseVolume(torch.empty(0, 3), torch.empty(0, 4, dtype=torch.int32), SHAPE, scans=2)
    y = SubmanifoldVolumeConvolution(3, 4)(x)
    z = VolumeConvolution(4, 2, (3, 3, 3), (2, 2, 2), (1, 1, 1))(y)
    assert len(z) == 0
    assert z.dense().shape == (2, 2, 4, 3, 5)


def test_from_above_folds_the_heights_into_the_channels() -> None:
    coordinates = torch.tensor([[0, 1, 2, 3]], dtype=torch.int32)
    x = SparseVolume(torch.tensor([[5.0, 6.0]]), coordinates, (2, 3, 4), scans=1)
    above = x.from_above()
    assert above.shape == (1, 8, 3, 2)
    assert (above[0, 3, 2, 1], above[0, 7, 2, 1]) == (5, 6)
    assert above.count_nonzero() == 2


def test_refuses_what_does_not_fit() -> None:
    cells = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]], dtype=torch.int32)
    with pytest.raises(ValueError, match="same scan"):
        SparseVolume(torch.zeros(2, 1), cells, (4, 4, 4), scans=1)
    with pytest.raises(ValueError, match="outside"):
        SparseVolume(torch.zeros(1, 1), cells[:1], (4, 4, 3), scans=1)
    with pytest.raises(ValueError, match="expected"):
        SparseVolume(torch.zeros(1, 1), cells, (4, 4, 4), scans=1)
    with pytest.raises(ValueError, match="does not fit"):
        strided_map(cells[:1], (4, 4, 4), (3, 3, 7), (1, 1, 1), (1, 1, 1))
    with pytest.raises(ValueError, match="odd"):
        SubmanifoldVolumeConvolution(1, 1, kernel_size=2)
