"""The toy city's Waymo segments, packed and converted by the official package in its own environment."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from detectors import BEV, tune_detector
from invented import Flat, pretrain_job
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import points_in_box
from cmcr.checkpoints import read_tensors
from cmcr.data.image_files import read_image
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.joined import join
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera
from cmcr.data.scan_record import pose_from_text
from cmcr.data.semantic_kitti_index import make_index as make_kitti_index
from cmcr.data.toy.city import ToyCityOptions
from cmcr.data.toy.recording import Keyframe, duration_s, record
from cmcr.data.toy.rig import WAYMO
from cmcr.data.toy.scene import make_world, scene_generator
from cmcr.data.waymo_index import make_index
from cmcr.models.backbone import read_record
from cmcr.pretrain.plugins import load_plugin
from cmcr.pretrain.run import pretrain
from cmcr.recipe import Recipe

from .segments import ROOT, SCENE, Converter, pack_segment, run

FRAMES = 3
OPTIONS = ToyCityOptions(seed=0, keyframes=FRAMES, image_size=(64, 96), azimuth_steps=120)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def segment(waymo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_segment(waymo_python, OPTIONS, tmp_path_factory.mktemp("waymo"))


def convert(python: str, segment: Path, root: Path, *more: str, fails: bool = False) -> tuple[Path, str]:
    output = root / "validation" / f"{segment.stem}.json"
    done = run(
        python,
        ROOT / "workflow/waymo/convert.py",
        *("--segment", segment, "--root", root, "--split", "validation", "--output", output, *more),
        fails=fails,
    )
    return output, done.stderr


@pytest.fixture(scope="module")
def index(waymo_python: str, segment: Path, tmp_path_factory: pytest.TempPathFactory) -> ScanIndex:
    root = tmp_path_factory.mktemp("converted")
    convert(waymo_python, segment, root)
    return make_index("toy_waymo", root, "toy", "validation")


@pytest.fixture(scope="module")
def keyframes() -> list[Keyframe]:
    """The same drive, rendered again."""
    world = make_world(OPTIONS.seed, SCENE, duration_s(FRAMES))
    rng = scene_generator(OPTIONS.seed, SCENE, "sensors")
    return list(record(world, WAYMO, FRAMES, OPTIONS.image_size, OPTIONS.azimuth_steps, rng))


def in_rows(keyframe: Keyframe) -> NDArray[np.intp]:
    """Order of a sweep's points in a range image: row by row, the highest beam first."""
    column, ring = np.divmod(keyframe.sweep.ray, len(WAYMO.lidar.elevations_deg))
    return np.lexsort((column, -ring))


def test_official_utilities_find_the_rendered_points_within_a_centimetre(
    index: ScanIndex, keyframes: list[Keyframe]
) -> None:
    for number, keyframe in enumerate(keyframes):
        scan, order = index.read(number), in_rows(keyframe)
        expected = keyframe.sweep.points[order]
        assert len(scan.points) == len(expected) > 1000
        assert np.abs(scan.points[:, :3] - expected[:, :3]).max() < 0.01
        np.testing.assert_allclose(scan.points[:, 3], np.minimum(expected[:, 3] / 255, 0.999), atol=1e-5)


def test_every_second_frame_has_labels_and_they_are_those_of_the_world(
    index: ScanIndex, keyframes: list[Keyframe]
) -> None:
    scans = [index.read(number) for number in range(FRAMES)]
    assert [scan.labels is not None for scan in scans] == [True, False, True]
    world = make_world(OPTIONS.seed, SCENE, duration_s(FRAMES))
    for scan, keyframe in zip(scans[::2], keyframes[::2], strict=True):
        body = keyframe.sweep.body[in_rows(keyframe)]
        category = np.array([world.bodies[number].category for number in body])
        assert scan.labels is not None
        assert scan.instances is not None
        for name, label in (("vehicle.car", 1), ("flat.driveable_surface", 18), ("static.other", 0)):
            assert (scan.labels[category == name] == label).all()
        # One number for each thing, and none for the road.
        things = {(int(b), int(i)) for b, i in zip(body, scan.instances, strict=True) if i}
        assert len({b for b, _ in things}) == len({i for _, i in things}) == len(things) > 3
        assert not scan.instances[category == "flat.driveable_surface"].any()


def test_points_fall_on_the_pixels_that_waymo_stores(index: ScanIndex, segment: Path) -> None:
    root = segment.parents[2]
    frames = json.loads((root / "parts" / f"{SCENE}.json").read_text())["frames"]
    for number, frame in enumerate(frames):
        scan = index.read(number)
        with np.load(root / frame["arrays"]) as arrays:
            order = np.lexsort((arrays["column"], -arrays["ring"]))
            stored = arrays["projections"][order].reshape(-1, 2, 3)
        pairs = pair_points_with_pixels(scan.points, scan.cameras, min_depth_m=0.0)
        of_camera = stored[pairs.point, :, 0] == pairs.camera[:, None] + 1
        # Everybody we see is stored, unless two other cameras saw it before.
        assert (of_camera.any(axis=1) | (stored[pairs.point, :, 0] > 0).all(axis=1)).all()
        found = of_camera.any(axis=1)
        pixel = stored[pairs.point[found], of_camera[found].argmax(axis=1), 1:]
        assert found.sum() > 500
        # The same pixel, but for points within rounding of the edge between two.
        apart = np.abs(pixel - np.column_stack([pairs.column, pairs.row])[found]).max(axis=1)
        assert apart.max() <= 1
        assert (apart == 0).mean() > 0.99


def test_the_world_begins_at_the_first_frame(index: ScanIndex, keyframes: list[Keyframe]) -> None:
    poses = [pose_from_text(record.world_from_lidar[1]) for record in index.records]
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-9)
    expected = np.linalg.inv(keyframes[0].world_from_ego) @ keyframes[2].world_from_ego
    np.testing.assert_allclose(poses[2], expected, atol=1e-9)


def test_images_are_the_bytes_of_the_segment(index: ScanIndex, segment: Path) -> None:
    camera = index.read(1).cameras[0]
    assert camera.image_path.read_bytes() == (segment.parents[2] / "drives" / SCENE / "001_FRONT.jpg").read_bytes()
    assert read_image(camera).shape == (64, 96, 3)


def test_a_lens_bends_rays_as_the_official_camera_model_has_it(waymo_python: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    distortion = np.array([0.04, -0.3, 0.002, -0.001, 0.05])
    points = np.column_stack([rng.uniform(5, 40, 500), rng.uniform(-20, 20, 500), rng.uniform(-8, 8, 500)])
    np.savez(tmp_path / "in.npz", points=points, intrinsic=[2060.0, 2050, 960, 640, *distortion])
    (tmp_path / "project.py").write_text(OFFICIAL_PROJECTION)
    run(waymo_python, tmp_path / "project.py", tmp_path / "in.npz", tmp_path / "out.npy")
    expected = np.load(tmp_path / "out.npy")
    optical_from_vehicle = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    intrinsics = np.array([[2060.0, 0, 960], [0, 2050, 640], [0, 0, 1]])
    camera = Camera("FRONT", Path("none"), (1280, 1920), intrinsics, optical_from_vehicle, distortion=distortion)
    pairs = pair_points_with_pixels(points.astype(np.float32), [camera], min_depth_m=0.0)
    inside = np.flatnonzero(
        (expected[:, 2] > 0) & (expected[:, :2] > 1).all(axis=1) & (expected[:, :2] < (1918, 1278)).all(axis=1)
    )
    assert len(inside) > 100
    assert set(inside) <= set(pairs.point)
    ours = np.column_stack([pairs.column, pairs.row])[np.searchsorted(pairs.point, inside)]
    assert np.abs(ours - expected[inside, :2]).max() <= 0.5 + 1e-2


OFFICIAL_PROJECTION = """
import sys
import numpy as np, tensorflow as tf
from waymo_open_dataset import dataset_pb2
from waymo_open_dataset.wdl_limited.camera.ops import py_camera_model_ops
given = np.load(sys.argv[1])
pose = np.eye(4).ravel().tolist()
image = pose + [0.0] * 10  # velocities, times
out = py_camera_model_ops.world_to_image(
    tf.constant(np.eye(4), tf.float32), tf.constant(given["intrinsic"], tf.float32),
    tf.constant([1920, 1280, dataset_pb2.CameraCalibration.GLOBAL_SHUTTER], tf.int32), tf.constant(image, tf.float32),
    tf.constant(given["points"], tf.float32))
np.save(sys.argv[2], out.numpy())
"""


# --- pre-training ---


def test_pre_training_on_converted_frames_alone_and_beside_semantic_kitti(
    index: ScanIndex, toy_semantic_kitti: Path, tmp_path: Path
) -> None:
    kitti = make_kitti_index("toy_kitti", toy_semantic_kitti, "semantic_kitti_mini", "mini_train")
    job = pretrain_job(images=ImageOptions(size=(32, 64)), recipe=Recipe(epochs=1, batch_size=2, lr=1e-3))
    for name, scans, batches in (("toy_waymo", index, 2), ("toy_waymo+toy_kitti", join([index, kitti]), 5)):
        output = tmp_path / name / "backbone.safetensors"
        encoder = Flat()
        pretrain(
            job,
            load_plugin("ppkt"),
            index=scans,
            encoder=encoder,
            feature_bank=None,
            folder=output.parent,
            output=output,
        )
        assert read_record(output).dataset == name
        assert read_tensors(output)["stem_norm.num_batches_tracked"] == batches


# --- damage ---


def damaged(segment: Path, tmp_path: Path, name: str) -> Path:
    content = bytearray(segment.read_bytes())
    length = 8 + 4 + int.from_bytes(content[:8], "little") + 4  # of the first record
    if name == "cut":
        content = content[: length + (len(content) - length) // 3]
    elif name == "checksum":
        content[length + 1000] ^= 1  # inside the second record
    elif name == "noise":
        content = bytearray(np.random.default_rng(0).bytes(5000))
    elif name == "empty":
        content = bytearray()
    path = tmp_path / f"{name}.tfrecord"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["cut", "checksum"])
def test_frames_before_the_damage_are_kept_and_the_rest_is_reported(
    name: str, converter: Converter, segment: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    code, said = converter.convert(damaged(segment, tmp_path, name), root)
    content = json.loads((root / "training" / "segment.json").read_text())
    assert code == 0
    assert len(content["frames"]) == 1
    assert content["problems"][0].startswith("frame 1: damaged record")
    assert f"{name}.tfrecord: frame 1: damaged record" in said
    assert "the frames before it are kept" in said
    assert len(make_index("w", root, "toy", "training")) == 1


@pytest.mark.parametrize("name", ["noise", "empty"])
def test_what_holds_no_frame_is_refused_and_leaves_nothing(
    name: str, converter: Converter, segment: Path, tmp_path: Path
) -> None:
    path = damaged(segment, tmp_path, name)
    code, said = converter.convert(path, tmp_path / "root")
    assert code == 1
    assert said.startswith(f"waymo: {path}\n  expected: a TFRecord of Waymo frames")
    assert not (tmp_path / "root").exists()


RENAME = """
import json, sys
import tensorflow as tf
from waymo_open_dataset import dataset_pb2
for path, names in json.load(open(sys.argv[2])).items():
    with tf.io.TFRecordWriter(path) as writer:
        for name, record in zip(names, tf.data.TFRecordDataset(sys.argv[1])):
            frame = dataset_pb2.Frame.FromString(record.numpy())
            frame.context.name = name
            writer.write(frame.SerializeToString())
"""


def test_a_segment_whose_name_leads_elsewhere_is_refused_and_frames_of_two_are_not_mixed(
    waymo_python: str, converter: Converter, segment: Path, tmp_path: Path
) -> None:
    names = ("../../../outside", "/etc/cmcr", "..", "", "a/b", "two\nlines", "a" * 300, "other.json")
    paths = {str(tmp_path / f"{number}.tfrecord"): [name] for number, name in enumerate(names)}
    mixed = tmp_path / "mixed.tfrecord"
    (tmp_path / "names.json").write_text(json.dumps({**paths, str(mixed): ["one", "two"]}))
    (tmp_path / "rename.py").write_text(RENAME)
    run(waymo_python, tmp_path / "rename.py", segment, tmp_path / "names.json")
    before = set(tmp_path.rglob("*"))
    for path in paths:
        code, said = converter.convert(Path(path), tmp_path / "root")
        assert code == 1
        assert said.startswith(f"waymo: {path}\n  expected: a TFRecord of Waymo frames\n  found:    frame 0:")
        assert "context.name is" in said
        assert set(tmp_path.rglob("*")) == before
    code, said = converter.convert(mixed, tmp_path / "root")
    assert code == 0
    assert "frame 1: ValueError: a frame of 'two'; the frames before it are kept" in said
    assert [record.token for record in make_index("w", tmp_path / "root", "toy", "training").records] == ["one_000"]


WITHOUT_MEMORY = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import convert
whole = convert.convert_frame
def with_little(frame, root, folder, number, *rest):
    if number:
        raise MemoryError("no more")
    return whole(frame, root, folder, number, *rest)
convert.convert_frame = with_little
sys.exit(convert.main())
"""


def test_want_of_memory_is_no_damage_and_no_frame_is_given_up_for_it(
    waymo_python: str, segment: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    output = root / "training" / "segment.json"
    (tmp_path / "little.py").write_text(WITHOUT_MEMORY)
    paths = ("--segment", segment, "--root", root, "--split", "training", "--output", output)
    done = run(waymo_python, tmp_path / "little.py", ROOT / "workflow" / "waymo", *paths, fails=True)
    assert "found:    not enough memory for frame 1: MemoryError no more" in done.stderr
    assert done.stderr.startswith(f"waymo: {segment}\n  expected: memory for all frames")
    assert not output.exists()


def test_a_missing_segment_is_named(waymo_python: str, tmp_path: Path) -> None:
    _, error = convert(waymo_python, tmp_path / "no.tfrecord", tmp_path / "root", fails=True)
    assert error.startswith(f"waymo: {tmp_path / 'no.tfrecord'}: no such file")


def test_boxes_hold_the_returns_of_their_things(index: ScanIndex) -> None:
    seen = 0
    for number in range(FRAMES):
        scan = index.read(number)
        assert scan.boxes is not None
        assert scan.boxes.num_points is not None
        for box, kind, points in zip(scan.boxes.geometry, scan.boxes.classes, scan.boxes.num_points, strict=True):
            if kind and points > 20:
                # Ranges are noisy, so some returns lie a little outside of the surface that they come from.
                wider = np.concatenate([box[:3], box[3:6] + 0.2, box[6:]])
                assert points_in_box(scan.points[:, :3], wider).sum() > 0.95 * points
                seen += 1
    assert seen > FRAMES


def test_a_detector_is_trained_and_scored_by_the_official_package(index: ScanIndex, tmp_path: Path) -> None:
    first, last = (
        dataclasses.replace(index, records=records, split=split, checksum="")
        for records, split in ((index.records[:2], "training"), (index.records[2:], "validation"))
    )
    head = {
        "kind": "second",
        "anchors": [
            {"size_m": size, "bottom_m": -2.1, "matched": 0.5, "unmatched": 0.35}
            for size in ((4.7, 1.9, 1.6), (0.8, 0.8, 1.8), (1.8, 0.8, 1.9))
        ],
    }
    _, scores = tune_detector(
        first, range(2), last, tmp_path, head, dataset="toy_waymo", options={"head": head, "bev": BEV, "sampling": None}
    )
    values = {(metric.metric, metric.class_name): metric.value for metric in scores.metrics}
    assert next(iter(values)) == ("map", "all")
    assert values["map", "all"] is not None
    assert {f"{measure}_level_{level}" for measure in ("ap", "aph") for level in (1, 2)} <= {name for name, _ in values}
