"""The reference engine equals dense convolution, forward and backward, and gives the same bits every time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_volumes import at_voxels, dense_kernel, random_tensor, random_voxels, to_dense
from torch import Tensor

from cmcr.sparse import SparseTensor
from cmcr.sparse.engine import ENGINES, REFERENCE, ReferenceEngine, engine_for

SIDE, SCANS, C_IN, C_OUT = 8, 2, 3, 5


def draw_weight(kernel_size: int, c_in: int = C_IN, c_out: int = C_OUT) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(kernel_size**3, c_in, c_out, generator=generator, dtype=torch.float64).requires_grad_()


def assert_same_with_gradients(ours: Tensor, dense: Tensor, inputs: tuple[Tensor, ...]) -> None:
    """Compare two outputs, and the gradients of a random projection of each."""
    torch.testing.assert_close(ours, dense, rtol=1e-10, atol=1e-10)
    along = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3), dtype=ours.dtype)
    for gradient, expected in zip(
        torch.autograd.grad((ours * along).sum(), inputs),
        torch.autograd.grad((dense * along).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("number", [1, 40, 400])
def test_submanifold_equals_dense_convolution(kernel_size: int, number: int):
    x, weight = random_tensor(C_IN, number=number, side=SIDE, scans=SCANS), draw_weight(kernel_size)
    ours = REFERENCE.submanifold(x, weight, kernel_size)
    volume = to_dense(x.features, x.coordinates, SIDE, SCANS)
    dense = F.conv3d(volume, dense_kernel(weight), padding=kernel_size // 2)
    assert ours.coordinates is x.coordinates
    assert_same_with_gradients(ours.features, at_voxels(dense, x.coordinates), (x.features, weight))


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("number", [1, 40, 400])
def test_strided_equals_dense_convolution(factor: int, number: int):
    x, weight = random_tensor(C_IN, number=number, side=SIDE, scans=SCANS), draw_weight(factor)
    ours = REFERENCE.downsample(x, weight, factor)
    volume = to_dense(x.features, x.coordinates, SIDE, SCANS)
    dense = F.conv3d(volume, dense_kernel(weight), stride=factor)
    coarse = ours.coordinates.clone()
    coarse[:, 1:] //= factor
    occupied = F.max_pool3d(to_dense(torch.ones(len(x), 1), x.coordinates, SIDE, SCANS), factor)
    assert len(ours) == int(occupied.sum())
    assert bool(at_voxels(occupied, coarse).all())
    assert_same_with_gradients(ours.features, at_voxels(dense, coarse), (x.features, weight))


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("number", [1, 40, 400])
def test_transposed_equals_dense_convolution(factor: int, number: int):
    fine, weight = random_tensor(C_IN, number=number, side=SIDE, scans=SCANS), draw_weight(factor, C_OUT, C_IN)
    down = REFERENCE.downsample(fine, draw_weight(factor), factor)
    x = down.replace(torch.randn(len(down), C_OUT, dtype=torch.float64).requires_grad_())
    ours = REFERENCE.upsample(x, weight, factor)
    coarse = x.coordinates.clone()
    coarse[:, 1:] //= factor
    volume = to_dense(x.features, coarse, SIDE // factor, SCANS)
    dense = F.conv_transpose3d(volume, dense_kernel(weight).transpose(0, 1), stride=factor)
    assert ours.coordinates is fine.coordinates
    assert_same_with_gradients(ours.features, at_voxels(dense, fine.coordinates), (x.features, weight))


def test_single_precision_is_close_to_dense_convolution():
    coordinates = random_voxels(number=2000, side=16)
    generator = torch.Generator().manual_seed(0)
    x = SparseTensor(torch.randn(len(coordinates), 16, generator=generator), coordinates)
    weight = torch.randn(27, 16, 16, generator=generator) / 20
    dense = F.conv3d(to_dense(x.features, coordinates, 16), dense_kernel(weight), padding=1)
    ours = REFERENCE.submanifold(x, weight, 3).features
    torch.testing.assert_close(ours, at_voxels(dense, coordinates), rtol=1e-5, atol=1e-5)


def test_gradients_by_finite_differences():
    coordinates = random_voxels(number=30, side=4)
    features = torch.randn(len(coordinates), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def network(features: Tensor, inner: Tensor, down: Tensor, up: Tensor) -> Tensor:
        x = REFERENCE.submanifold(SparseTensor(features, coordinates), inner, 3)
        return REFERENCE.upsample(REFERENCE.downsample(x, down, 2), up, 2).features

    weights = (draw_weight(3, 2, 3), draw_weight(2, 3, 2), draw_weight(2, 2, 3))
    assert torch.autograd.gradcheck(network, (features.requires_grad_(), *weights))


@pytest.mark.parametrize("frozen", ["features", "weight"])
def test_gradient_of_one_input_alone(frozen: str):
    x, weight = random_tensor(C_IN, number=40, side=SIDE), draw_weight(3)
    both = torch.autograd.grad(REFERENCE.submanifold(x, weight, 3).features.sum(), (x.features, weight))
    features = x.features.detach() if frozen == "features" else x.features
    weight = weight.detach() if frozen == "weight" else weight
    asked, expected = (weight, both[1]) if frozen == "features" else (features, both[0])
    (gradient,) = torch.autograd.grad(REFERENCE.submanifold(x.replace(features), weight, 3).features.sum(), asked)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0)


@pytest.fixture
def _threads_restored():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_threads_restored")
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("times", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_the_same_bits_every_time(threads: int, times: int):
    coordinates = random_voxels(number=2000, side=20, scans=2)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(len(coordinates), 32, generator=generator)
    weights = [torch.randn(k, 32, 32, generator=generator).requires_grad_() for k in (27, 8, 8)]

    def run() -> list[Tensor]:
        leaf = features.clone().requires_grad_()
        x = REFERENCE.submanifold(SparseTensor(leaf, coordinates), weights[0], 3)
        y = REFERENCE.upsample(REFERENCE.downsample(x, weights[1], 2), weights[2], 2).features
        return [y.detach(), *torch.autograd.grad(y.square().sum(), (leaf, *weights))]

    torch.set_num_threads(threads)
    first = run()
    assert all(torch.equal(a, b) for _ in range(times) for a, b in zip(first, run(), strict=True))


def test_scans_never_mix():
    """Two scans in one batch give what each gives alone, though their voxels coincide."""
    weight, down = draw_weight(3), draw_weight(2, C_OUT, C_OUT)

    def network(x: SparseTensor) -> SparseTensor:
        return REFERENCE.downsample(REFERENCE.submanifold(x, weight, 3), down, 2)

    together = random_tensor(C_IN, number=300, side=5, scans=2)
    out = network(together)
    for scan in (0, 1):
        mine = together.coordinates[:, 0] == scan
        alone = network(SparseTensor(together.features[mine], together.coordinates[mine]))
        of_scan = out.coordinates[:, 0] == scan
        torch.testing.assert_close(out.coordinates[of_scan], alone.coordinates, rtol=0, atol=0)
        torch.testing.assert_close(out.features[of_scan], alone.features)


def test_a_lonely_voxel_sees_only_itself():
    x = SparseTensor(torch.tensor([[2.0], [3.0]]), torch.tensor([[0, 0, 0, 0], [0, 9, 9, 9]], dtype=torch.int32))
    weight = torch.arange(27.0).reshape(27, 1, 1)
    assert REFERENCE.submanifold(x, weight, 3).features.flatten().tolist() == [2 * 13, 3 * 13]


def test_offsets_are_numbered_x_fastest():
    """A voxel at (1, 0, 0) is offset 14 of 3^3 for its neighbour at the origin, and corner 1 of 2^3."""
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.int32)
    x = SparseTensor(torch.tensor([[1.0], [100.0]]), coordinates)
    submanifold = REFERENCE.submanifold(x, torch.arange(27.0).reshape(27, 1, 1), 3)
    assert submanifold.features.flatten().tolist() == [13 + 1400, 12 + 1300]
    assert REFERENCE.downsample(x, torch.arange(8.0).reshape(8, 1, 1) + 1, 2).features.item() == 1 + 200


def test_negative_coordinates_round_down():
    x = SparseTensor(torch.ones(2, 1), torch.tensor([[0, -1, -2, -3], [0, 0, 0, 0]], dtype=torch.int32))
    assert REFERENCE.downsample(x, torch.ones(8, 1, 1), 2).coordinates.tolist() == [[0, -2, -2, -4], [0, 0, 0, 0]]


def test_maps_are_built_once_and_shared(monkeypatch: pytest.MonkeyPatch):
    """Three layers of two kinds at two strides need one map each, with features and gradients of any width."""
    built: list[str] = []
    for name in ("submanifold_map", "downsampling_map"):
        original = getattr(__import__("cmcr.sparse.engine", fromlist=[name]), name)

        def counted(*args, name: str = name, original=original):
            built.append(name)
            return original(*args)

        monkeypatch.setattr(f"cmcr.sparse.engine.{name}", counted)
    x = random_tensor(C_IN, number=60, side=SIDE)
    y = REFERENCE.submanifold(x, draw_weight(3), 3)
    y = REFERENCE.submanifold(y, draw_weight(3, C_OUT, C_OUT), 3)
    down = REFERENCE.downsample(y, draw_weight(2, C_OUT, C_OUT), 2)
    again = REFERENCE.downsample(x, draw_weight(2), 2)
    inner = REFERENCE.submanifold(down, draw_weight(3, C_OUT, C_OUT), 3)
    REFERENCE.upsample(inner, draw_weight(2, C_OUT, C_OUT), 2).features.sum().backward()
    assert built == ["submanifold_map", "downsampling_map", "submanifold_map"]
    assert again.coordinates is down.coordinates


def test_no_way_back_to_voxels_that_never_were():
    x = random_tensor(C_IN, number=20, side=SIDE)
    down = REFERENCE.downsample(x, draw_weight(2), 2)
    with pytest.raises(ValueError, match="no voxels of stride 1 to go back to from stride 1"):
        REFERENCE.upsample(x, draw_weight(2), 1)
    with pytest.raises(ValueError, match="no voxels of stride 0"):
        REFERENCE.upsample(down, draw_weight(4, C_OUT, C_OUT), 4)


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(1, 60),
    low=st.integers(-40, 40).map(lambda step: 4 * step),
    seed=st.integers(0, 2**31),
    kernel_size=st.sampled_from([1, 3]),
)
def test_any_set_of_voxels_equals_dense_convolution(number: int, low: int, seed: int, kernel_size: int):
    coordinates = random_voxels(number=number, side=SIDE, scans=2, seed=seed, low=low)
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(coordinates), 2, generator=generator, dtype=torch.float64)
    weights = [
        draw_weight(kernel_size, 2, 3),
        draw_weight(2, 3, 3),
        draw_weight(kernel_size, 3, 2),
        draw_weight(2, 2, 2),
    ]
    x = REFERENCE.submanifold(SparseTensor(features, coordinates), weights[0], kernel_size)
    x = REFERENCE.submanifold(REFERENCE.downsample(x, weights[1], 2), weights[2], kernel_size)
    ours = REFERENCE.upsample(x, weights[3], 2).features

    at_zero = coordinates - torch.tensor([0, low, low, low])
    occupied = to_dense(torch.ones(len(coordinates), 1, dtype=torch.float64), at_zero, SIDE, 2)
    kernels = [dense_kernel(weight) for weight in weights]
    dense = F.conv3d(to_dense(features, at_zero, SIDE, 2), kernels[0], padding=kernel_size // 2) * occupied
    dense = F.conv3d(dense, kernels[1], stride=2) * F.max_pool3d(occupied, 2)
    dense = F.conv3d(dense, kernels[2], padding=kernel_size // 2) * F.max_pool3d(occupied, 2)
    dense = F.conv_transpose3d(dense, kernels[3].transpose(0, 1), stride=2)
    torch.testing.assert_close(ours, at_voxels(dense, at_zero), rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_order_of_voxels_does_not_matter(seed: int):
    x, weight = random_tensor(C_IN, number=80, side=5), draw_weight(3)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    shuffled = SparseTensor(x.features[order], x.coordinates[order])
    torch.testing.assert_close(
        REFERENCE.submanifold(shuffled, weight, 3).features, REFERENCE.submanifold(x, weight, 3).features[order]
    )


def test_engine_is_chosen_by_device(monkeypatch: pytest.MonkeyPatch):
    other = ReferenceEngine()
    monkeypatch.setitem(ENGINES, "meta", other)
    assert engine_for(torch.device("meta")) is other
    assert engine_for(torch.device("cpu")) is REFERENCE
