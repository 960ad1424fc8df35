from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.data.range_grid import RangeGrid, fill_cells
from cmcr.models.voxelnet import VoxelNet, VoxelNetOptions, sample_map

GRID = RangeGrid(bounds_m=(0, -8, -3, 16, 8, 1), cell_m=(0.5, 0.5, 0.1))
TINY = VoxelNetOptions(channels=(4, 4, 8, 8), top=6)


def cells(seed: int, scans: int = 2) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    found = [
        fill_cells(rng.uniform([0, -8, -3, 0], [16, 8, 1, 1], size=(200, 4)).astype(np.float32), GRID)
        for _ in range(scans)
    ]
    scan = np.repeat(np.arange(scans), [len(each.coordinates) for each in found])
    coordinates = np.column_stack([scan, np.concatenate([each.coordinates for each in found])])
    features = np.concatenate([each.features for each in found])
    return torch.from_numpy(features), torch.from_numpy(coordinates.astype(np.int32))


def test_the_default_is_the_released_network() -> None:
    network = VoxelNet(VoxelNetOptions(), RangeGrid())
    assert network.shape == (1408, 1600, 41)
    assert network.map_shape == (200, 176)
    assert network.map_channels == 256
    # Counted by hand: 27 (4 16 + 16 16 + 16 32 + 2 32 32 + 32 64 + 2 64 64 + 64 64 + 2 64 64) + 3 64 128 weights, and
    # a scale and a shift for each output of the twelve normalisations.
    kernels = 27 * (4 * 16 + 16 * 16 + 16 * 32 + 2 * 32 * 32 + 32 * 64 + 5 * 64 * 64) + 3 * 64 * 128
    norms = 2 * (2 * 16 + 3 * 32 + 6 * 64 + 128)
    assert sum(p.numel() for p in network.parameters()) == kernels + norms


def test_equals_dense_convolutions_masked_to_the_active_cells() -> None:
    torch.manual_seed(0)
    network = VoxelNet(TINY, GRID).double().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    features, coordinates = cells(0)
    found = network(features.double(), coordinates, scans=2)

    scan, x, y, z = coordinates.long().T
    grid = torch.zeros(2, 4, *network.shape, dtype=torch.float64)
    grid[scan, :, x, y, z] = features.double()
    active = torch.zeros(2, 1, *network.shape, dtype=torch.float64)
    active[scan, 0, x, y, z] = 1
    for block in network.layers:
        layer, norm = block.convolution, block.norm
        strided = hasattr(layer, "kernel")
        size = layer.kernel if strided else (3, 3, 3)
        stride, padding = (layer.stride, layer.padding) if strided else ((1, 1, 1), (1, 1, 1))
        weight = layer.weight.view(*reversed(size), *layer.weight.shape[1:]).permute(4, 3, 2, 1, 0)
        grid = F.conv3d(grid, weight, stride=stride, padding=padding)
        if strided:
            ones = torch.ones(1, 1, *size, dtype=torch.float64)
            active = (F.conv3d(active, ones, stride=stride, padding=padding) > 0).double()
        shape = (1, -1, 1, 1, 1)
        scale = norm.weight / (norm.running_var + 1e-3).sqrt()
        grid = ((grid - norm.running_mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)).relu() * active
    expected = grid.permute(0, 1, 4, 3, 2).flatten(1, 2)
    assert found.shape == (2, network.map_channels, *network.map_shape)
    torch.testing.assert_close(found, expected)
    assert found.count_nonzero() > 100


def test_a_scan_does_not_touch_another() -> None:
    torch.manual_seed(0)
    network = VoxelNet(TINY, GRID).eval()
    features, coordinates = cells(0)
    second = coordinates[:, 0] == 1
    alone = coordinates[second] - torch.tensor([1, 0, 0, 0], dtype=torch.int32)
    together = network(features, coordinates, scans=3)
    torch.testing.assert_close(network(features[second], alone, scans=1)[0], together[1])
    assert together[2].count_nonzero() == 0


def test_no_cells() -> None:
    network = VoxelNet(TINY, GRID)
    found = network(torch.empty(0, 4), torch.empty(0, 4, dtype=torch.int32), scans=1)
    assert found.shape == (1, network.map_channels, *network.map_shape)


def test_refuses_a_grid_that_is_too_low() -> None:
    def network(heights: int, above: int) -> VoxelNet:
        grid = RangeGrid(bounds_m=(0, -8, 0, 16, 8, heights / 10), cell_m=(0.5, 0.5, 0.1))
        return VoxelNet(TINY.model_copy(update={"heights_above": above}), grid)

    for above in (0, 1):
        with pytest.raises(ValueError, match="too low"):
            network(24 - above, above)
        assert network(25 - above, above).map_channels == 6


def test_slidr_pretrains_with_one_height() -> None:
    grid = RangeGrid(bounds_m=(-51.2, -51.2, -5, 51.2, 51.2, 3), cell_m=(0.1, 0.1, 0.2))
    network = VoxelNet(VoxelNetOptions(heights_above=0), grid)
    assert network.shape == (1024, 1024, 40)
    assert (network.map_channels, network.map_shape) == (128, (128, 128))
    released = VoxelNet(VoxelNetOptions(), grid)
    assert released.map_channels == 256
    network.load_state_dict(released.state_dict())


@pytest.mark.parametrize("above", [0, 1])
def test_the_map_has_the_shape_that_is_promised(above: int) -> None:
    features, coordinates = cells(0)
    for heights in (25, 27, 30, 40):
        grid = RangeGrid(bounds_m=(0, -8, 0, 16, 8, heights / 10), cell_m=(0.5, 0.5, 0.1))
        network = VoxelNet(TINY.model_copy(update={"heights_above": above}), grid)
        inside = coordinates[:, 3] < heights
        found = network(features[inside], coordinates[inside], scans=2)
        assert found.shape == (2, network.map_channels, *network.map_shape)


def test_sampling_is_linear_between_the_columns_and_clamped_at_the_border() -> None:
    # Cells of 0.5 m, so columns stand 4 m apart: at x = 0, 4, 8, 12; rows at y = -8, -4, 0, 4.
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    maps = torch.stack([torch.stack([columns, rows]), torch.stack([100 + columns, rows])])
    points = torch.tensor([[0, -8, 0], [6, -3, 0], [12, 4, 0], [100, 100, 0], [-5, -50, 0], [6, -3, 0]]).float()
    found = sample_map(maps, points, torch.tensor([0, 0, 0, 0, 0, 1]), GRID)
    expected = torch.tensor([[0, 0], [1.5, 1.25], [3, 3], [3, 3], [0, 0], [101.5, 1.25]])
    torch.testing.assert_close(found, expected)


def test_a_point_reads_the_cells_it_lies_in() -> None:
    torch.manual_seed(0)
    network = VoxelNet(TINY, GRID).eval()
    for parameter in network.parameters():
        parameter.data.abs_()  # so that no ReLU stops what the one point sends up
    point = torch.tensor([[8.2, 0.2, -1.0, 0.5]])
    coordinates = torch.tensor([[0, 16, 16, 20]], dtype=torch.int32)
    found = network(point, coordinates, scans=1)
    seen = torch.nonzero(found[0].abs().sum(0))
    assert seen.sub(2).abs().max() <= 1  # around row and column 16 / 8
    assert [2, 2] in seen.tolist()
    assert sample_map(found, point, torch.tensor([0]), GRID).count_nonzero() > 0
