from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from invented_kitti import write_frame, write_split

from cmcr.boxes.boxes3d import points_in_box
from cmcr.data.augment import PointAugmentation
from cmcr.data.box_sampling import BoxDatabase, BoxSamplingOptions
from cmcr.data.detection_batches import DetectionDataset, collate_detection
from cmcr.data.draws import Draw
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index
from cmcr.data.range_grid import RangeGrid, fill_cells

GRID = RangeGrid(bounds_m=(0, -16, -3, 25, 16, 1), cell_m=(0.5, 0.5, 0.1))
CHANGES = PointAugmentation(rotation_deg=45, flip_x=0, flip_y=0.5, scale=(0.95, 1.05))


@pytest.fixture
def index(tmp_path: Path) -> ScanIndex:
    for frame in ("000003", "000007"):
        write_frame(tmp_path, frame)
    write_split(tmp_path, "train", "000003", "000007")
    return make_index("kitti", tmp_path, "training", "train")


def test_scans_are_put_together(index: ScanIndex) -> None:
    dataset = DetectionDataset(index, [1, 0], GRID)
    batch = collate_detection([dataset[0], dataset[1]])
    assert batch.tokens == ("000007", "000003")
    assert batch.positions == (1, 0)
    for number, position in enumerate((1, 0)):
        scan = index.read(position)
        mine = batch.coordinates_V4[:, 0] == number
        cells = fill_cells(scan.points, GRID)
        np.testing.assert_array_equal(batch.coordinates_V4[mine, 1:].numpy(), cells.coordinates)
        np.testing.assert_array_equal(batch.features_V4[mine].numpy(), cells.features)
        assert scan.boxes is not None
        np.testing.assert_allclose(batch.boxes[number].numpy(), scan.boxes.geometry, rtol=1e-6)
        assert batch.classes[number].tolist() == [1, 0]  # all boxes, the van 30 m ahead among them
    assert batch.velocities == (None, None)
    moved = batch.to("meta")
    assert moved.boxes[1].device.type == moved.features_V4.device.type == "meta"
    assert moved.tokens == batch.tokens


def test_boxes_outside_the_bounds_are_not_learned(index: ScanIndex) -> None:
    sample = DetectionDataset(index, [0], GRID, augmentation=PointAugmentation(rotation_deg=0, flip_x=0, flip_y=0))[0]
    assert sample.boxes is not None
    assert sample.boxes.classes.tolist() == [1]


def test_what_is_drawn_follows_from_seed_epoch_and_position(index: ScanIndex) -> None:
    def drawn(seed: int, epoch: int) -> np.ndarray:
        dataset = DetectionDataset(index, [0, 1], GRID, seed=seed, augmentation=CHANGES)
        return dataset[Draw(epoch, 1)].cells.features

    assert np.array_equal(drawn(0, 0), drawn(0, 0))
    assert not np.array_equal(drawn(0, 0), drawn(0, 1))
    assert not np.array_equal(drawn(0, 0), drawn(1, 0))


def test_without_labels_there_are_no_boxes(index: ScanIndex) -> None:
    batch = collate_detection([DetectionDataset(index, [0], GRID, with_labels=False)[0]])
    assert batch.boxes[0].shape == (0, 7)


def test_things_of_unlabelled_scans_are_refused(index: ScanIndex) -> None:
    database = BoxDatabase(index, [0, 1], BoxSamplingOptions(min_points=1))
    with pytest.raises(ValueError, match="000007"):
        DetectionDataset(index, [0], GRID, database=database)
    DetectionDataset(index, [0, 1], GRID, database=database)[0]


def test_boxes_and_cells_are_changed_alike(index: ScanIndex) -> None:
    fine = RangeGrid(bounds_m=(-60, -60, -3, 60, 60, 1), cell_m=(0.05, 0.05, 0.05))
    plain = DetectionDataset(index, [0], fine)[0]
    assert plain.boxes is not None
    expected = [points_in_box(plain.cells.features[:, :3], box).sum() for box in plain.boxes.geometry]
    for epoch in range(5):
        changed = DetectionDataset(index, [0], fine, augmentation=CHANGES)[Draw(epoch, 0)]
        assert changed.boxes is not None
        found = [points_in_box(changed.cells.features[:, :3], box).sum() for box in changed.boxes.geometry]
        assert found == expected
    assert torch.tensor(expected).sum() > 0
