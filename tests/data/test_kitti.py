from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from invented_kitti import P2, R0, TR, write_frame, write_split

from cmcr.boxes.boxes3d import points_in_box
from cmcr.data.box_projection import clip_to_image, image_boxes
from cmcr.data.index import ScanIndex
from cmcr.data.kitti import read_labels
from cmcr.data.kitti_index import make_index
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.errors import DataError


@pytest.fixture
def index(tmp_path: Path) -> ScanIndex:
    write_frame(tmp_path)
    write_split(tmp_path, "train", "000003")
    return make_index("kitti", tmp_path, "training", "train")


def test_the_sweep_is_cut_to_what_the_camera_sees(index: ScanIndex) -> None:
    scan = index.read(0)
    raw = np.fromfile(index.root / index.records[0].lidar, dtype="<f4").reshape(-1, 4)
    matrices = [np.array(text.split(), dtype=np.float64) for text in (P2, R0, TR)]
    rotation, pose = np.eye(4), np.eye(4)
    rotation[:3, :3], pose[:3] = matrices[1].reshape(3, 3), matrices[2].reshape(3, 4)
    kept = []
    for point in raw:
        u, v, depth = matrices[0].reshape(3, 4) @ rotation @ pose @ [*point[:3].astype(np.float64), 1]
        if depth > 0 and 0 <= u / depth < 400 and 0 <= v / depth < 120:
            kept.append(point)
    assert 10 < len(kept) < 250
    np.testing.assert_array_equal(scan.points, np.array(kept))


def test_boxes_and_classes(index: ScanIndex) -> None:
    boxes = index.read(0).boxes
    assert boxes is not None
    assert boxes.classes.tolist() == [1, 0]  # a van is of no class; DontCare is no box
    # 20 m before the camera, whose centre is 0.27 m ahead of the LiDAR; rotation_y -90 degrees is straight on.
    assert boxes.geometry[0, 0] == pytest.approx(20.27, abs=0.02)
    assert boxes.geometry[0, 2] == pytest.approx(-1.70 - 0.08 + 0.75, abs=0.02)
    assert abs(boxes.geometry[0, 6]) < 0.01


def test_without_labels_none_are_read(index: ScanIndex) -> None:
    (index.root / "training" / "label_2" / "000003.txt").unlink()
    assert index.read(0, with_labels=False).boxes is None
    with pytest.raises(DataError, match=r"label_2/000003\.txt"):
        index.read(0)


def test_labels_for_the_evaluation_have_the_regions_too(index: ScanIndex) -> None:
    assert read_labels(index.records[0], index.root).name.tolist() == ["Car", "Van", "DontCare"]


@pytest.mark.parametrize("change", ["shorter", "nan", "bright"])
def test_a_damaged_sweep_is_named(index: ScanIndex, change: str) -> None:
    path = index.root / index.records[0].lidar
    points = np.fromfile(path, dtype="<f4").reshape(-1, 4)
    if change == "shorter":
        points = points[:-1]
    else:
        points[5, 3] = {"nan": np.nan, "bright": 1.5}[change]
    points.tofile(path)
    with pytest.raises(DataError, match=r"000003\.bin"):
        index.read(0)


def test_the_real_frame_lines_up(shared: Path) -> None:
    index = make_index("kitti", shared / "real" / "kitti", "training", "train")
    scan = index.read(0)
    assert len(scan.points) == 17238  # the sweep was cut to the view before: nothing more is cut
    objects = read_labels(index.records[0], index.root)
    assert scan.boxes is not None
    counts = [int(points_in_box(scan.points, box).sum()) for box in scan.boxes.geometry]
    assert min(counts) > 50
    # Boxes that were drawn by people around the pixels, and ours from the boxes in space.
    found = clip_to_image(image_boxes(scan.boxes.geometry, scan.cameras[0]), scan.cameras[0].size)
    whole = objects.truncation[:6] == 0
    np.testing.assert_allclose(found[whole], objects.image_box[:6][whole], atol=12)
    # What is said of the angle under which they are seen follows from the boxes.
    x, z = objects.location[:6, 0], objects.location[:6, 2]
    turned = objects.rotation_y[:6] - np.arctan2(x, z) - objects.alpha[:6]
    np.testing.assert_allclose(np.cos(turned), 1, atol=0.02)


def test_the_real_frame_pairs_points_with_pixels(shared: Path) -> None:
    scan = make_index("kitti", shared / "real" / "kitti", "training", "train").read(0)
    pairs = pair_points_with_pixels(scan.points, scan.cameras)
    assert len(pairs) > 17000


def test_a_sweep_of_which_the_camera_sees_nothing_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path)
    write_split(tmp_path, "train", "000003")
    behind = np.full((500, 4), [-9, 0, 0, 0.5], dtype="<f4")
    behind.tofile(tmp_path / "training" / "velodyne" / "000003.bin")
    with pytest.raises(DataError, match=r"000003\.bin\n  expected: points in the camera's view"):
        make_index("d", tmp_path, "training", "train").read(0)
