"""spconv's engine equals the reference in values and gradients: on a GPU, and on the CPU with what spconv has for it.

spconv's CPU build asks CUDA for a stream on the way back and is wrong with several threads, so it is no engine; but it
takes weights and numbers offsets as its GPU build does, so it shows without a GPU that ours are passed on rightly.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from sparse_volumes import random_voxels
from torch import Tensor

from cmcr.data.range_grid import RangeGrid
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.models.voxelnet import VoxelNet, VoxelNetOptions
from cmcr.sparse import SparseTensor
from cmcr.sparse.engine import ENGINES, REFERENCE, Engine

pytest.importorskip("spconv.pytorch", reason="spconv is not installed (environment.yml has it, for GPU machines)")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A device that spconv serves for the length of the test."""
    from spconv.pytorch import ops

    from cmcr.sparse.spconv_engine import SpconvEngine

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    threads = torch.get_num_threads()
    if request.param == "cpu":
        monkeypatch.setattr(ops, "get_current_stream", lambda: 0)
        torch.set_num_threads(1)
    monkeypatch.setitem(ENGINES, request.param, SpconvEngine())
    yield request.param
    torch.set_num_threads(threads)


def with_gradients(engine: Engine, x: SparseTensor, weight: Tensor, size: int) -> tuple[Tensor, ...]:
    fresh = SparseTensor(x.features, x.coordinates, x.stride)
    y = engine.submanifold(fresh, weight, size).features
    along = torch.linspace(-1, 1, y.numel(), device=y.device).view_as(y)
    return (y, *torch.autograd.grad((y * along).sum(), (x.features, weight)))


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 4])
def test_convolution_equals_the_reference(device: str, size: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    coordinates = random_voxels(number=600, side=9)
    # Around the origin and off its middle, so that an axis, a sign or a stride taken wrongly shows.
    coordinates[:, 1:] = (coordinates[:, 1:] - torch.tensor([4, 9, -2])) * stride
    features = torch.randn(len(coordinates), 4, generator=generator).to(device).requires_grad_()
    weight = torch.randn(size**3, 4, 6, generator=generator).to(device).requires_grad_()
    x = SparseTensor(features, coordinates.to(device), stride)
    for ours, expected in zip(
        with_gradients(ENGINES[device], x, weight, size), with_gradients(REFERENCE, x, weight, size), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_pairs_are_made_once_for_each_level(device: str) -> None:
    coordinates = random_voxels(number=50, side=6).to(device)
    x = SparseTensor(torch.randn(len(coordinates), 4, device=device), coordinates)
    weight = torch.randn(27, 4, 4, device=device)
    y = ENGINES[device].submanifold(x, weight, 3)
    (neighbours,) = x.cache.maps.values()
    pairs = neighbours.indice_dict["pairs"]
    ENGINES[device].submanifold(y, weight, 3)
    assert neighbours.indice_dict["pairs"] is pairs
    assert list(x.cache.maps.values()) == [neighbours]


def test_without_a_voxel_there_is_none_afterwards(device: str) -> None:
    features = torch.zeros(0, 3, device=device, requires_grad=True)
    weight = torch.ones(27, 3, 2, device=device, requires_grad=True)
    x = SparseTensor(features, torch.zeros(0, 4, dtype=torch.int32, device=device))
    y = ENGINES[device].submanifold(x, weight, 3).features
    assert y.shape == (0, 2)
    y.sum().backward()
    assert features.grad is not None
    assert weight.grad is not None
    assert not weight.grad.any()


def test_layers_draw_no_random_numbers(device: str) -> None:
    state = torch.get_rng_state()
    x = SparseTensor(torch.ones(1, 3, device=device), torch.zeros(1, 4, dtype=torch.int32, device=device))
    ENGINES[device].submanifold(x, torch.ones(27, 3, 2, device=device), 3)
    torch.testing.assert_close(torch.get_rng_state(), state)


def test_autocast_leaves_the_convolution_in_single_precision(device: str) -> None:
    x = SparseTensor(torch.ones(1, 3, device=device), torch.zeros(1, 4, dtype=torch.int32, device=device))
    with torch.autocast(device, torch.bfloat16):
        y = ENGINES[device].submanifold(x.replace(x.features.bfloat16()), torch.ones(27, 3, 2, device=device), 3)
    assert y.features.dtype == torch.float32


def both(device: str, network: torch.nn.Module, *inputs: Tensor, run) -> list[list[Tensor]]:
    """Output and gradients of a network with spconv, then with the reference."""
    found = []
    for engine in (ENGINES[device], REFERENCE):
        ENGINES[device] = engine
        network.zero_grad()
        y = run(network, *inputs)
        (y * torch.linspace(-1, 1, y.numel(), device=device).view_as(y)).sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in network.parameters())])
    return found


def test_a_whole_minkunet_equals_the_reference(device: str) -> None:
    torch.manual_seed(0)
    options = MinkUNetOptions(stem=4, planes=(4, 6, 8, 8, 8, 6, 4, 4), blocks=(1,) * 8)
    network = MinkUNet(options, 1, None).to(device).eval()
    coordinates = random_voxels(number=800, side=24).to(device)
    features = torch.randn(len(coordinates), 1).to(device)

    def run(network: torch.nn.Module, features: Tensor) -> Tensor:
        return network(SparseTensor(features, coordinates))

    for ours, expected in zip(*both(device, network, features, run=run), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_whole_voxelnet_equals_the_reference(device: str) -> None:
    torch.manual_seed(0)
    grid = RangeGrid(bounds_m=(0, 0, 0, 4, 4, 5), cell_m=(0.25, 0.25, 0.2))
    network = VoxelNet(VoxelNetOptions(channels=(4, 4, 6, 6), top=4), grid).to(device).eval()
    coordinates = random_voxels(number=500, side=16).to(device)

    def run(network: torch.nn.Module, features: Tensor) -> Tensor:
        return network(features, coordinates, int(coordinates[:, 0].max()) + 1)

    for ours, expected in zip(
        *both(device, network, torch.randn(len(coordinates), 4).to(device), run=run), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
