from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmcr.boxes.boxes3d import points_in_box
from cmcr.data.box_projection import clip_to_image, image_boxes
from cmcr.data.kitti import read_labels
from cmcr.data.kitti_index import make_index
from cmcr.data.kitti_names import CLASS_NAMES
from cmcr.data.toy.kitti_city import ToyKittiOptions, write_drive, write_image_sets
from cmcr.data.toy.kitti_writer import kitti_type
from cmcr.data.toy.scene import make_world
from cmcr.errors import ConfigError, DataError

OPTIONS = ToyKittiOptions(train_drives=1, validation_drives=1, frames=2, image_size=(94, 311), azimuth_steps=360)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy_kitti") / "city"
    for drive in OPTIONS.drives:
        write_drive(OPTIONS, drive, root)
    write_image_sets(OPTIONS, root)
    return root


def test_the_reader_takes_every_frame(city: Path) -> None:
    found = {}
    for split in ("train", "val", "trainval"):
        index = make_index("toy_kitti", city, "training", split)
        found[split] = [record.token for record in index.records]
        for position in range(len(index)):
            scan = index.read(position)
            assert scan.boxes is not None
            assert len(scan.boxes) > 0
            assert len(scan.points) > 500
            assert 0 < scan.points[:, 3].max() <= 1
    assert found == {
        "train": ["000000", "000001"],
        "val": ["000002", "000003"],
        "trainval": [f"00000{n}" for n in range(4)],
    }


def test_boxes_hold_their_points_and_lie_in_the_image(city: Path) -> None:
    index = make_index("toy_kitti", city, "training", "trainval")
    classes = set()
    for position in range(len(index)):
        scan = index.read(position)
        objects = read_labels(index.records[position], index.root)
        labelled = objects.select(objects.name != "DontCare")
        assert scan.boxes is not None
        classes |= {CLASS_NAMES[number] for number in scan.boxes.classes.tolist()}
        raw = np.fromfile(city / index.records[position].lidar, dtype="<f4").reshape(-1, 4)
        for box in scan.boxes.geometry:
            grown = box + np.array([0, 0, 0, 0.1, 0.1, 0.1, 0])  # two decimals in the file
            assert points_in_box(raw, grown).sum() >= 4
        found = clip_to_image(image_boxes(scan.boxes.geometry, scan.cameras[0]), scan.cameras[0].size)
        np.testing.assert_allclose(found, labelled.image_box, atol=2.0)
        assert set(labelled.occlusion.tolist()) <= {0, 1, 2}
        assert ((labelled.truncation >= 0) & (labelled.truncation < 1)).all()
        cut = (labelled.image_box == [[0, 0, 310, 93]]).any(axis=1)
        assert (cut | (labelled.truncation == 0)).all()
    assert {"Car", "Pedestrian"} <= classes


def test_things_stand_where_the_image_shows_them(city: Path) -> None:
    # Occupied pixels and returns agree in depth order: a box's returns project into its 2D box.
    index = make_index("toy_kitti", city, "training", "train")
    scan = index.read(0)
    assert scan.boxes is not None
    camera = scan.cameras[0]
    for box, (left, top, right, bottom) in zip(
        scan.boxes.geometry, image_boxes(scan.boxes.geometry, camera), strict=True
    ):
        inside = scan.points[points_in_box(scan.points, box), :3].astype(np.float64)
        seen = inside @ camera.camera_from_lidar[:3, :3].T + camera.camera_from_lidar[:3, 3]
        u, v, w = camera.intrinsics @ seen.T
        assert ((u / w >= left) & (u / w <= right) & (v / w >= top) & (v / w <= bottom)).all()


def test_a_frame_depends_on_its_own_drive_alone(city: Path, tmp_path: Path) -> None:
    write_drive(OPTIONS, 1, tmp_path / "again")
    for name in ("velodyne/000002.bin", "image_2/000002.png", "calib/000002.txt", "label_2/000002.txt"):
        assert (tmp_path / "again" / "training" / name).read_bytes() == (city / "training" / name).read_bytes()


def test_types() -> None:
    world = make_world(0, "kitti-drive-0", 2.0)
    found = {(body.category, kitti_type(body)) for body in world.bodies}
    assert ("vehicle.car", "Car") in found
    assert ("human.pedestrian.adult", "Pedestrian") in found
    assert ("vehicle.bicycle", "Cyclist") in found
    assert ("vehicle.bicycle", None) in found  # parked
    assert {name for category, name in found if category.startswith(("static", "flat", "movable"))} == {None}


def test_refuses_what_would_mix(city: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toy_city"):
        write_drive(OPTIONS.model_copy(update={"seed": 1}), 0, city)
    (tmp_path / "training").mkdir()
    with pytest.raises(DataError, match="new folder"):
        write_drive(OPTIONS, 0, tmp_path)
    with pytest.raises(ConfigError, match="no drive 2"):
        write_drive(OPTIONS, 2, city)
    with pytest.raises(DataError, match="make its drive first"):
        write_image_sets(OPTIONS, tmp_path / "empty")
