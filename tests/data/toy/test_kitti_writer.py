from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmcr.boxes.boxes3d import points_in_box
from cmcr.data.box_projection import clip_to_image, image_boxes
from cmcr.data.kitti import read_labels
from cmcr.data.kitti_index import make_index
from cmcr.data.kitti_names import CLASS_NAMES
from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene
from cmcr.data.toy.kitti_writer import KittiWriter, kitti_type
from cmcr.data.toy.scene import make_world
from cmcr.errors import ConfigError, DataError

OPTIONS = ToyCityOptions(train_scenes=2, validation_scenes=1, keyframes=2, image_size=(94, 311), azimuth_steps=360)
FILES = ("velodyne/{}.bin", "image_2/{}.png", "calib/{}.txt", "label_2/{}.txt")


def test_the_reader_takes_every_frame(toy_kitti: Path) -> None:
    found = {}
    for split in ("train", "val", "trainval"):
        index = make_index("toy_kitti", toy_kitti, "training", split)
        found[split] = [record.token for record in index.records]
        for position in range(len(index)):
            scan = index.read(position)
            assert scan.boxes is not None
            assert len(scan.boxes) > 0
            assert len(scan.points) > 500
            assert 0 < scan.points[:, 3].max() <= 1
    assert found == {
        "train": ["000000", "000001", "001000", "001001"],
        "val": ["040000", "040001"],
        "trainval": ["000000", "000001", "001000", "001001", "040000", "040001"],
    }


def test_boxes_hold_their_points_and_lie_in_the_image(toy_kitti: Path) -> None:
    index = make_index("toy_kitti", toy_kitti, "training", "trainval")
    classes = set()
    for position in range(len(index)):
        scan = index.read(position)
        objects = read_labels(index.records[position], index.root)
        labelled = objects.select(objects.name != "DontCare")
        assert scan.boxes is not None
        classes |= {CLASS_NAMES[number] for number in scan.boxes.classes.tolist()}
        raw = np.fromfile(toy_kitti / index.records[position].lidar, dtype="<f4").reshape(-1, 4)
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


def test_things_stand_where_the_image_shows_them(toy_kitti: Path) -> None:
    # Occupied pixels and returns agree in depth order: a box's returns project into its 2D box.
    index = make_index("toy_kitti", toy_kitti, "training", "train")
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


def test_a_frame_depends_on_its_own_drive_alone(toy_kitti: Path, tmp_path: Path) -> None:
    write_scene(OPTIONS, "kitti-drive-01", tmp_path / "again", tmp_path / "part.json", "kitti")
    for name in FILES:
        again = tmp_path / "again" / "training" / name.format("001000")
        assert again.read_bytes() == (toy_kitti / "training" / name.format("001000")).read_bytes()


def test_types() -> None:
    world = make_world(0, "kitti-drive-0", 2.0)
    found = {(body.category, kitti_type(body)) for body in world.bodies}
    assert ("vehicle.car", "Car") in found
    assert ("human.pedestrian.adult", "Pedestrian") in found
    assert ("vehicle.bicycle", "Cyclist") in found
    assert ("vehicle.bicycle", None) in found  # parked
    assert {name for category, name in found if category.startswith(("static", "flat", "movable"))} == {None}


def test_what_an_earlier_city_left_is_deleted(toy_kitti: Path, tmp_path: Path) -> None:
    parts, root = tmp_path / "parts", tmp_path / "city"
    small = OPTIONS.model_copy(update={"train_scenes": 1, "keyframes": 1, "azimuth_steps": 60})
    for drive in small.scene_names("kitti"):
        write_scene(small, drive, root, parts / f"{drive}.json", "kitti")
    for name in FILES:
        path = root / "training" / name.format("001000")
        path.write_bytes((toy_kitti / "training" / name.format("001000")).read_bytes())
    join_scenes(sorted(parts.iterdir()), root, "kitti")
    assert {path.stem for path in (root / "training").rglob("*.*")} == {"000000", "040000"}
    assert (root / "ImageSets" / "val.txt").read_text() == "040000\n"


def test_refuses_what_would_mix(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    with pytest.raises(DataError, match=r"(?s)a toy city or a new folder.*frames that no toy city wrote"):
        write_scene(OPTIONS, "kitti-drive-00", tmp_path, tmp_path / "part.json", "kitti")
    with pytest.raises(ConfigError, match="no scene 'kitti-drive-50'"):
        write_scene(OPTIONS, "kitti-drive-50", tmp_path / "new", tmp_path / "part.json", "kitti")
    with pytest.raises(ConfigError, match="at most 1000 frames"):
        KittiWriter(tmp_path, "kitti-drive-00", make_world(0, "kitti-drive-00", 1.0)).add(1000, None)  # type: ignore[arg-type]
