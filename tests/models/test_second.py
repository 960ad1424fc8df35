from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cmcr.boxes.boxes3d import points_in_box
from cmcr.boxes.overlap import bev_iou
from cmcr.data.detection_batches import DetectionBatch, DetectionDataset, collate_detection
from cmcr.data.kitti import read_labels, rectified_from_lidar
from cmcr.data.kitti_camera import objects_in_image
from cmcr.data.kitti_index import make_index
from cmcr.data.range_grid import RangeGrid
from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene
from cmcr.evaluation.kitti_ap import average_precisions
from cmcr.models.anchor_head import AnchorHeadOptions
from cmcr.models.anchors import AnchorOptions
from cmcr.models.bev import BevOptions
from cmcr.models.center_head import CenterHeadOptions
from cmcr.models.second import Second
from cmcr.models.voxelnet import VoxelNet, VoxelNetOptions

GRID = RangeGrid(bounds_m=(0, -20, -3, 40, 20, 1), cell_m=(0.125, 0.125, 0.1))
SMALL = VoxelNetOptions(channels=(8, 16, 16, 16), top=32, batch_norm_momentum=0.1)
BEV = BevOptions(layers=(2, 2), channels=(32, 32), up_channels=(32, 32), batch_norm_momentum=0.1)
#: As the toy city's things are: they stand on the ground, 1.73 m below the sensor.
ANCHORS = AnchorHeadOptions(
    anchors=(
        AnchorOptions(size_m=(4.7, 1.9, 1.6), bottom_m=-1.73, matched=0.6, unmatched=0.45),
        AnchorOptions(size_m=(0.8, 0.8, 1.8), bottom_m=-1.73, matched=0.5, unmatched=0.35),
        AnchorOptions(size_m=(1.8, 0.8, 1.9), bottom_m=-1.73, matched=0.5, unmatched=0.35),
    )
)
CENTERS = CenterHeadOptions(groups=((1,), (2, 3)), channels=16, velocity_weight=0)


def make(head: AnchorHeadOptions | CenterHeadOptions, grid: RangeGrid, bev: BevOptions = BEV) -> nn.ModuleList:
    """Return a VoxelNet and what stands on it."""
    backbone = VoxelNet(SMALL, grid)
    return nn.ModuleList([backbone, Second(backbone, bev, head)])


def outputs(model: nn.ModuleList, batch: DetectionBatch) -> Any:
    return model[1](model[0](batch.features_V4, batch.coordinates_V4, len(batch)))


@pytest.mark.slow
@pytest.mark.parametrize("head", [ANCHORS, CENTERS], ids=["anchors", "centers"])
def test_a_few_steps_find_the_cars_of_a_frame(tmp_path: Path, head: AnchorHeadOptions | CenterHeadOptions) -> None:
    options = ToyCityOptions(train_scenes=1, keyframes=2, image_size=(188, 621), azimuth_steps=720)
    write_scene(options, "kitti-drive-00", tmp_path / "city", tmp_path / "part.json", "kitti")
    join_scenes([tmp_path / "part.json"], tmp_path / "city", "kitti")
    index = make_index("toy", tmp_path / "city", "training", "train")
    dataset = DetectionDataset(index, range(2), GRID)
    batch = collate_detection([dataset[0], dataset[1]])
    torch.manual_seed(0)
    model = make(head, GRID)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    first = None
    for _ in range(80):
        optimizer.zero_grad()
        losses = model[1].losses(outputs(model, batch), batch)
        loss = torch.stack(list(losses.values())).sum()
        first = first or loss.item()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * first
    model.eval()
    hits, labels, results = [], [], []
    for position, found in enumerate(model[1].detect(outputs(model, batch))):
        record, scan = index.records[position], index.read(position)
        assert scan.boxes is not None
        cars = scan.boxes.geometry[scan.boxes.classes == 1]
        cars = torch.from_numpy(cars[[points_in_box(scan.points, car).sum() > 20 for car in cars]])
        hits += bev_iou(found.boxes_N7[found.classes_N == 1].double(), cars).max(dim=0).values.tolist()
        labels.append(read_labels(record, index.root))
        pose, scores = rectified_from_lidar(record), found.scores_N.double().numpy()
        results.append(objects_in_image(found.as_boxes(), pose, scan.cameras[0], index.class_names, scores))
    assert len(hits) >= 3
    assert np.median(hits) > 0.6
    # Over again, because even a perfect precision stays low where there are fewer objects than recall points.
    table = {entry[:3]: entry for entry in average_precisions(30 * labels, 30 * results)}
    assert table["Car", "bev", "hard"].at_40 > 10


@pytest.mark.parametrize("head", [ANCHORS, CENTERS], ids=["anchors", "centers"])
@pytest.mark.parametrize("strides", [(1, 2), (2, 2)])
def test_heads_fit_their_maps(head: AnchorHeadOptions | CenterHeadOptions, strides: tuple[int, int]) -> None:
    torch.manual_seed(0)
    grid = RangeGrid(bounds_m=(0, -6, -3, 10, 5, 1), cell_m=(0.25, 0.25, 0.1))  # 5 x 6 cells of the map: odd is harder
    model = make(head, grid, BEV.model_copy(update={"strides": strides}))
    rng = np.random.default_rng(0)
    coordinates = np.unique(rng.integers(0, [2, 40, 44, 40], size=(300, 4)), axis=0).astype(np.int32)
    box = torch.tensor([[5.0, 0, -0.9, 4.5, 1.9, 1.6, 0.1]])
    batch = DetectionBatch(
        (0, 1),
        ("a", "b"),
        torch.rand(len(coordinates), 4),
        torch.from_numpy(coordinates),
        (box, box[:0]),
        (torch.tensor([1]), torch.empty(0, dtype=torch.int64)),
        (None, None),
    )
    losses = model[1].losses(outputs(model, batch), batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert len(model.eval()[1].detect(outputs(model, batch))) == 2
