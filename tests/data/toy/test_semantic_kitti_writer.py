"""The tiny toy city in SemanticKITTI's format, through its reader and through its own rays."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_names import CATEGORIES
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.releases import UNKNOWN, load_release
from cmcr.data.scan_record import pose_from_text
from cmcr.data.semantic_kitti_index import make_index
from cmcr.data.toy.camera import pixel_rays
from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene
from cmcr.data.toy.formats import CITY, FORMATS
from cmcr.data.toy.raycast import RayCaster
from cmcr.data.toy.recording import duration_s
from cmcr.data.toy.rig import SEMANTIC_KITTI, world_from_ego
from cmcr.data.toy.scene import make_world
from cmcr.data.toy.semantic_kitti_writer import _MOVING, _RIDDEN_AND_STANDING, _STANDING, labels_of_bodies
from cmcr.errors import ConfigError, DataError

FORMAT = "semantic_kitti"
SMALL = ToyCityOptions(train_scenes=2, validation_scenes=1, keyframes=2, image_size=(24, 80), azimuth_steps=24)


@pytest.fixture(scope="module")
def train(toy_semantic_kitti: Path) -> ScanIndex:
    return make_index("toy", toy_semantic_kitti, "semantic_kitti_mini", "mini_train")


def test_the_reader_finds_everything(train: ScanIndex, toy_semantic_kitti: Path) -> None:
    assert [record.token for record in train.records] == [f"{s}_{n:06d}" for s in ("00", "01") for n in range(3)]
    assert [record.timestamp_us for record in train.records[:3]] == [0, 500_000, 1_000_000]
    classes = set()
    for number in range(len(train)):
        scan = train.read(number)
        assert 0 <= scan.points[:, 3].min() <= scan.points[:, 3].max() < 0.995
        np.testing.assert_allclose(scan.points[:, 3] * 100, np.rint(scan.points[:, 3] * 100), atol=1e-4)
        things = np.isin(scan.labels, train.thing_classes)
        assert (scan.instances[things] > 0).all()
        classes |= {train.class_names[label] for label in scan.labels}
    assert {"car", "person", "road", "sidewalk", "building", "vegetation", "terrain", "fence", "bicyclist"} <= classes
    held_out = make_index("toy", toy_semantic_kitti, "semantic_kitti_mini", "mini_val")
    assert {record.scene for record in held_out.records} == {"08"}


def test_the_sweep_looks_forward_with_64_beams(train: ScanIndex) -> None:
    points = np.concatenate([train.read(number).points for number in range(3)])
    distance = np.linalg.norm(points[:, :2], axis=1)
    elevation = np.degrees(np.arctan2(points[:, 2], distance))
    far = distance > 5  # range noise turns near points up and down
    assert elevation[far].min() > -26
    assert elevation[far].max() < 3
    beams = np.array(SEMANTIC_KITTI.lidar.elevations_deg)
    assert (len(beams), beams[0], beams[-1]) == (64, -24.9, 2.0)
    assert (np.diff(beams) > 0.3).all()
    # The camera looks along x: it sees points before the vehicle, and none behind.
    scan = train.read(0)
    seen = scan.points[pair_points_with_pixels(scan.points, scan.cameras).point]
    assert len(seen) > 50
    assert (seen[:, 0] > 1).all()


def test_calibration_and_poses_are_those_of_the_vehicle(train: ScanIndex) -> None:
    (camera,) = train.read(1).cameras
    expected = np.linalg.inv(SEMANTIC_KITTI.ego_from_camera("image_2")) @ SEMANTIC_KITTI.ego_from_lidar()
    np.testing.assert_allclose(camera.camera_from_lidar, expected, atol=1e-9)
    np.testing.assert_allclose(camera.intrinsics, SEMANTIC_KITTI.cameras["image_2"].intrinsics((48, 160)), atol=1e-9)
    world = make_world(0, "00", duration_s(3))
    lidars = [world_from_ego(world, 0.1 + number / 2) @ SEMANTIC_KITTI.ego_from_lidar() for number in range(3)]
    found = [
        pose_from_text(record.world_from_lidar[1]) @ pose_from_text(record.world_from_lidar[0])
        for record in train.records[:3]
    ]
    for number in (1, 2):  # from the first scan's frame: where the world begins is the recording's own
        moved = np.linalg.inv(found[0]) @ found[number]
        np.testing.assert_allclose(moved, np.linalg.inv(lidars[0]) @ lidars[number], atol=1e-6)


def test_labels_are_what_stands_behind_the_pixel(train: ScanIndex) -> None:
    """A ray through the pixel that sees a point meets a body with the point's label, but where something hides it."""
    scan = train.read(2)
    world = make_world(0, "00", duration_s(3))
    ego = world_from_ego(world, 1.1)
    view = ego @ SEMANTIC_KITTI.ego_from_camera("image_2")
    (camera,) = scan.cameras
    pairs = pair_points_with_pixels(scan.points, scan.cameras)
    caster = RayCaster(world)
    origins, rays = pixel_rays(camera.intrinsics, camera.size, view)
    chosen = pairs.row * camera.size[1] + pairs.column
    hits = caster.at(1.1, view[:3, 3]).cast(origins[chosen], rays[chosen])
    table = load_release("semantic_kitti").table
    met = hits.face >= 0
    labels = table[labels_of_bodies(world)[caster.body[hits.face[met]]] & 0xFFFF]
    equal = labels == scan.labels[pairs.point][met]
    # A pixel is 11 cm wide at 10 m, and the LiDAR looks over what hides things from the camera.
    ends = camera.camera_from_lidar @ np.column_stack([scan.points[:, :3], np.ones(len(scan.points))])[pairs.point].T
    at_the_point = np.abs(hits.distance - np.linalg.norm(ends[:3], axis=0))[met] < 0.2
    assert at_the_point.mean() > 0.6
    assert equal[at_the_point].mean() > 0.98
    assert equal.mean() > 0.8


def test_every_category_has_an_official_id() -> None:
    table = load_release("semantic_kitti").table
    assert list(_STANDING) == [name for name, _ in CATEGORIES]
    ids = [*_STANDING.values(), *_MOVING.values(), *_RIDDEN_AND_STANDING.values()]
    assert (table[ids] != UNKNOWN).all()
    assert {number: int(table[number]) for number in _MOVING if number not in (11, 15)} == {
        number: int(table[moving]) for number, moving in _MOVING.items() if number not in (11, 15)
    }


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make(folder: Path, options: ToyCityOptions, scenes: tuple[str, ...]) -> Path:
    parts = [folder / "parts" / f"{scene}.json" for scene in scenes]
    for scene, part in zip(scenes, parts, strict=True):
        write_scene(options, scene, folder / "root", part, FORMAT)
    join_scenes(parts, folder / "root", FORMAT)
    return folder / "root"


def test_same_bytes_in_any_order_and_nothing_of_a_larger_city_is_left(tmp_path: Path) -> None:
    names = SMALL.scene_names(FORMAT)
    assert names == ("00", "01", "08")
    small = digests(make(tmp_path / "a", SMALL, names))
    assert len(small) == 3 * (2 * 3 + 3) + 2
    make(tmp_path / "b", SMALL.model_copy(update={"train_scenes": 2, "keyframes": 3}), (*names, "02"))
    assert digests(make(tmp_path / "b", SMALL, names[::-1])) == small


def test_another_data_set_is_left_alone(tmp_path: Path, toy_semantic_kitti: Path) -> None:
    root = tmp_path / "real"
    shutil.copytree(toy_semantic_kitti / "sequences" / "08", root / "sequences" / "08")
    before = digests(root)
    with pytest.raises(DataError, match="another folder"):
        write_scene(SMALL, "00", root, tmp_path / "part.json", FORMAT)
    with pytest.raises(DataError, match="another folder"):
        join_scenes([], root, FORMAT)
    assert digests(root) == before
    assert (toy_semantic_kitti / CITY).is_file()


def test_what_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of 00, 01"):
        write_scene(SMALL, "scene-0061", tmp_path, tmp_path / "part.json", FORMAT)
    with pytest.raises(ConfigError, match=r"validation_scenes: .* at most 1, found 2"):
        ToyCityOptions().scene_names(FORMAT)


def test_the_formats_know_their_own_splits() -> None:
    made = FORMATS[FORMAT]
    splits = load_release(made.version).splits
    assert splits[made.train_split] == made.train_scenes
    assert splits[made.validation_split] == made.validation_scenes


def test_images_are_png(toy_semantic_kitti: Path) -> None:
    with Image.open(toy_semantic_kitti / "sequences" / "08" / "image_2" / "000002.png") as image:
        assert (image.format, image.size) == ("PNG", (160, 48))
