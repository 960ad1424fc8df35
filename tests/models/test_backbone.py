"""The two networks behind one door."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from invented import BOUNDS, TINY, TINY_VOXELNET, VOXELS, invented_index

from cmcr.data.batches import Batch, ScanDataset, collate
from cmcr.data.range_grid import RangeGrid
from cmcr.errors import ConfigError
from cmcr.models.backbone import BackboneRecord, load_backbone, make_backbone, point_features, save_backbone
from cmcr.models.minkunet import MinkUNet
from cmcr.models.voxelnet import VoxelNet, map_size, sample_map


def bounded_batch() -> Batch:
    dataset = ScanDataset(invented_index(2), range(2), BOUNDS)
    return collate([dataset[0], dataset[1]])


def record_of(options: object, grid: object) -> BackboneRecord:
    return BackboneRecord.model_validate(
        {"method": "a", "dataset": "b", "seed": 0, "data_checksum": "", "config_hash": ""}
        | {"backbone": options, "voxels": grid}
    )


def test_every_point_reads_the_map_where_it_is() -> None:
    torch.manual_seed(0)
    backbone, batch = make_backbone(TINY_VOXELNET, BOUNDS).eval(), bounded_batch()
    features = point_features(backbone, batch)
    assert features.shape == (len(batch.points_P4), backbone.out_channels)
    assert torch.equal(batch.voxel_P, torch.arange(len(batch.points_P4)))
    # A scan by itself gives the same: points read the map of their own scan.
    alone = collate([ScanDataset(invented_index(2), [1], BOUNDS)[0]])
    torch.testing.assert_close(point_features(backbone, alone), features[batch.scan_P == 1], rtol=1e-4, atol=1e-5)
    map_BCHW = backbone(*batch.cells(), 2)
    torch.testing.assert_close(features, sample_map(map_BCHW, batch.points_P4, batch.scan_P, BOUNDS))


def test_a_batch_says_for_which_network_it_was_made() -> None:
    dataset = ScanDataset(invented_index(1), [0], VOXELS)
    with pytest.raises(ValueError, match="made for voxels without bounds"):
        point_features(make_backbone(TINY_VOXELNET, BOUNDS), collate([dataset[0]]))
    with pytest.raises(ValueError, match="made for a bounded grid"):
        point_features(make_backbone(TINY), bounded_batch())


def test_weights_of_a_voxelnet_fit_other_cells_and_those_of_a_minkunet_do_not(tmp_path: Path) -> None:
    finer = BOUNDS.model_copy(update={"cell_m": (0.25, 0.25, 0.1), "bounds_m": (0.0, -8.0, -2.0, 16.0, 8.0, 2.0)})
    backbone = make_backbone(TINY_VOXELNET, BOUNDS)
    save_backbone(tmp_path / "a.safetensors", backbone, record_of(TINY_VOXELNET, BOUNDS))
    found, record = load_backbone(tmp_path / "a.safetensors", TINY_VOXELNET, finer)
    assert isinstance(found, VoxelNet)
    assert found.grid == finer
    assert (record.voxels, record.backbone) == (BOUNDS, TINY_VOXELNET)
    assert all(torch.equal(tensor, backbone.state_dict()[name]) for name, tensor in found.state_dict().items())
    save_backbone(tmp_path / "b.safetensors", make_backbone(TINY), record_of(TINY, VOXELS))
    same, _ = load_backbone(tmp_path / "b.safetensors", TINY, VOXELS)
    assert isinstance(same, MinkUNet)


@pytest.mark.parametrize(
    ("options", "grid", "message"),
    [
        (TINY, BOUNDS, "voxels without bounds, and was given a bounded grid"),
        (TINY_VOXELNET, VOXELS, "a bounded grid, and was given none"),
        (TINY_VOXELNET, RangeGrid(cell_m=(1, 1, 0.2)), "too low for VoxelNet; it needs 24 of them"),
    ],
)
def test_what_does_not_go_together_is_refused(options: object, grid: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_backbone(options, grid)  # type: ignore[call-overload]


@pytest.mark.parametrize("cells", [(40, 40, 24), (41, 33, 40), (47, 64, 57)])
@pytest.mark.parametrize("heights_above", [0, 1])
def test_the_maps_size_is_known_beforehand(cells: tuple[int, int, int], heights_above: int) -> None:
    x, y, z = cells
    options = TINY_VOXELNET.model_copy(update={"heights_above": heights_above})
    grid = RangeGrid(bounds_m=(0, 0, 0, x, y, z), cell_m=(1, 1, 1))
    if z + heights_above < 25:
        with pytest.raises(ValueError, match="too low"):
            map_size(options, grid)
        return
    network = VoxelNet(options, grid)
    corner = torch.tensor([[0, x - 1, y - 1, z - 1], [0, 0, 0, 0]], dtype=torch.int32)
    map_BCHW = network.eval()(torch.ones(2, 4), corner, 1)
    height, width, heights = map_size(options, grid)
    assert map_BCHW.shape == (1, heights * options.top, height, width)
