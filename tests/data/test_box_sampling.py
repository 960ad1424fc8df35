from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from cmcr.boxes.boxes3d import Boxes3D, points_in_box
from cmcr.boxes.overlap import bev_iou
from cmcr.data.augment import PointAugmentation
from cmcr.data.box_sampling import BoxDatabase, BoxSamplingOptions, augment_scan, cut_out
from cmcr.data.index import ScanIndex
from cmcr.data.scan import Scan
from cmcr.data.scan_record import ScanRecord
from cmcr.errors import DataError

NAMES = ("ignore", "Car", "Pedestrian", "Cyclist")


def scan_with(number: int, *, velocity: bool = False) -> Scan:
    """A ground of points at z = -1 and four boxes of scan ``number``, their returns marked by its intensity."""
    rng = np.random.default_rng(number)
    ground = np.column_stack([rng.uniform(-20, 20, (2000, 2)), np.full(2000, -0.95), np.zeros(2000)])
    place = rng.uniform(-18, 18, size=(4, 2))
    size = np.array([[4, 2, 1.6], [0.8, 0.8, 1.8], [1.8, 0.7, 1.7], [5, 2, 1.8]])
    geometry = np.column_stack([place, np.full(4, 0.0), size, rng.uniform(-3, 3, 4)])
    inside = []
    for box, returns in zip(geometry, (30, 20, 10, 30), strict=True):
        inside.append(np.column_stack([np.repeat(box[None, :3], returns, 0), np.full(returns, (number + 1) / 100)]))
    points = np.concatenate([ground, *inside]).astype(np.float32)
    boxes = Boxes3D(geometry, np.array([1, 2, 3, 0]), rng.normal(size=(4, 2)) if velocity else None)
    return Scan(f"scan{number}", "invented", "scene", points, [], None, None, boxes)


class InventedIndex(ScanIndex):
    """An index of such scans that remembers which were read."""

    opened: list[int]

    def read(self, position: int, *, with_labels: bool = True) -> Scan:
        assert with_labels
        self.opened.append(position)
        return scan_with(position)


@pytest.fixture
def index() -> InventedIndex:
    records = tuple(
        ScanRecord(f"scan{n}", "scene", n, f"{n}.bin", 1, None, None, None, None, (), ()) for n in range(12)
    )
    found = InventedIndex("invented", "kitti", Path("nowhere"), "train", "v0", NAMES, (), records)
    object.__setattr__(found, "opened", [])
    return found


def test_only_the_labelled_scans_are_opened(index: InventedIndex) -> None:
    database = BoxDatabase(index, [2, 7], BoxSamplingOptions())
    assert index.opened == [2, 7]
    assert database.tokens == ("scan2", "scan7")
    every = [thing for things in database.things.values() for thing in things]
    assert {thing.token for thing in every} == {"scan2", "scan7"}
    assert {thing.class_number for thing in every} == {1, 2, 3}  # class 0 is never put anywhere
    filled = database.fill(scan_with(0), np.random.default_rng(0))
    marks = {round(float(mark), 2) for mark in np.unique(filled.points[:, 3])}
    assert marks <= {0.0, 0.01, 0.03, 0.08}


def test_things_bring_their_points_and_take_the_room_they_need(index: InventedIndex) -> None:
    options = BoxSamplingOptions(wanted={"Car": 5, "Pedestrian": 3, "Cyclist": 0})
    database = BoxDatabase(index, range(1, 12), options)
    for seed in range(5):
        before = scan_with(0)
        before.points[:2000, 2] = 0  # no ground but a cloud, through the middle of what is put in
        after = database.fill(before, np.random.default_rng(seed))
        assert before.boxes is not None
        assert after.boxes is not None
        old, new = len(before.boxes), len(after.boxes)
        np.testing.assert_array_equal(after.boxes.geometry[:old], before.boxes.geometry)
        counts = np.bincount(after.boxes.classes, minlength=4)
        assert 1 < counts[1] <= 5
        assert 1 < counts[2] <= 3
        assert counts[3] == 1
        boxes = torch.from_numpy(after.boxes.geometry)
        assert torch.equal(bev_iou(boxes, boxes)[old:] > 0, torch.eye(len(boxes))[old:] > 0)
        for box in after.boxes.geometry[old:]:
            inside = after.points[points_in_box(after.points, box)]
            assert len(inside) in (20, 30)
            assert len(np.unique(inside[:, 3])) == 1  # of one thing, and nothing of the ground
            assert inside[0, 3] > 0.015
        assert new > old


def test_a_full_scan_stays_as_it_is(index: InventedIndex) -> None:
    database = BoxDatabase(index, [1, 2, 3], BoxSamplingOptions(wanted={"Car": 1, "Cyclist": 1}))
    scan = scan_with(0)
    filled = database.fill(scan, np.random.default_rng(0))
    np.testing.assert_array_equal(filled.points, scan.points)
    assert filled.boxes is not None
    assert len(filled.boxes) == 4


def test_nothing_is_put_onto_itself(index: InventedIndex) -> None:
    database = BoxDatabase(index, [0], BoxSamplingOptions(wanted={"Car": 9}))
    filled = database.fill(scan_with(0), np.random.default_rng(0))
    assert filled.boxes is not None
    assert len(filled.boxes) == 4


def test_the_same_seed_gives_the_same_scan(index: InventedIndex) -> None:
    database = BoxDatabase(index, range(1, 12), BoxSamplingOptions())
    a, b, c = (database.fill(scan_with(0), np.random.default_rng(seed)).points for seed in (3, 3, 4))
    assert np.array_equal(a, b)
    assert a.shape != c.shape or not np.array_equal(a, c)


def test_things_with_few_returns_are_not_kept(index: InventedIndex) -> None:
    database = BoxDatabase(index, [1, 2], BoxSamplingOptions(min_points=15))
    assert [len(database.things[number]) for number in (1, 2, 3)] == [2, 2, 0]


def test_velocities_come_along(index: InventedIndex) -> None:
    database = BoxDatabase(index, [1, 2], BoxSamplingOptions())
    filled = database.fill(scan_with(0, velocity=True), np.random.default_rng(0))
    assert filled.boxes is not None
    assert filled.boxes.velocity is not None
    assert np.isnan(filled.boxes.velocity[4:]).all()
    assert np.isfinite(filled.boxes.velocity[:4]).all()


def test_numbers_of_points_come_along(index: InventedIndex) -> None:
    database = BoxDatabase(index, [1, 2], BoxSamplingOptions())
    scan = scan_with(0)
    assert scan.boxes is not None
    counted = dataclasses.replace(scan.boxes, num_points=np.array([0, 20, 10, 30]))
    filled = database.fill(dataclasses.replace(scan, boxes=counted), np.random.default_rng(0))
    assert filled.boxes is not None
    assert filled.boxes.num_points is not None
    assert filled.boxes.num_points[:4].tolist() == [0, 20, 10, 30]
    assert len(filled.boxes) > 4
    assert set(filled.boxes.num_points[4:].tolist()) <= {10, 20, 30}


def test_boxes_keep_their_returns_when_a_scan_is_changed() -> None:
    options = PointAugmentation(rotation_deg=45, flip_x=0, flip_y=0.5, scale=(0.95, 1.05))
    scan = scan_with(0)
    for seed in range(10):
        changed = augment_scan(scan, options, np.random.default_rng(seed))
        counts = [[len(thing.points_P4) for thing in cut_out(each)] for each in (scan, changed)]
        assert counts[0] == counts[1]


def test_refuses_scans_without_boxes_and_unknown_classes(index: InventedIndex) -> None:
    database = BoxDatabase(index, [1], BoxSamplingOptions())
    with pytest.raises(DataError, match="scan0 of invented has no boxes"):
        database.fill(dataclasses.replace(scan_with(0), boxes=None), np.random.default_rng(0))
    with pytest.raises(DataError, match="Tram"):
        BoxDatabase(index, [1], BoxSamplingOptions(wanted={"Tram": 1}))
