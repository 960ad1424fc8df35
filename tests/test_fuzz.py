"""Every parser on changed bytes: one message or a sound value, never another exception, a hang or a wrong number."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage_yard import LIDARSEG, PANOPTIC, build_yard
from fuzz import SETTINGS, fuzz
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from cmcr.checkpoints import read_content, read_tensors
from cmcr.config import Config, read_config
from cmcr.data.image_bank import read_feature_bank
from cmcr.data.image_files import read_image
from cmcr.data.index import ScanIndex, ScanRecord
from cmcr.data.kitti_calibration import read_calibration as read_kitti_calibration
from cmcr.data.kitti_index import make_index as kitti_index
from cmcr.data.kitti_labels import TYPES, read_objects
from cmcr.data.kitti_odometry import read_calibration, read_poses, read_times
from cmcr.data.nuscenes import CATEGORIES
from cmcr.data.nuscenes_index import make_index as nuscenes_index
from cmcr.data.point_files import read_points
from cmcr.data.releases import Release, load_release
from cmcr.data.rigid import is_rotation
from cmcr.data.scan import Camera
from cmcr.data.semantic_kitti_index import make_index as semantic_kitti_index
from cmcr.data.subsets import Subset
from cmcr.data.superpixels import SuperpixelFiles, SuperpixelOptions
from cmcr.data.waymo_boxes import WaymoBoxes
from cmcr.data.waymo_index import make_index as waymo_index
from cmcr.models.backbone import read_record
from cmcr.models.published import read_published as read_published_weights
from cmcr.pretrain.course import read_course
from cmcr.results.collect import read_scores_table
from cmcr.results.cost import read_benchmark
from cmcr.results.frames import read_frames
from cmcr.results.published import read_names, read_published, read_splits
from cmcr.results.scores import read_scores
from cmcr.results.table_text import escape_latex, escape_markdown
from cmcr.step_times import StepTimes
from cmcr.yaml_files import read_yaml

pytestmark = [pytest.mark.torture, pytest.mark.slow]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yard")
    build_yard(folder)
    text = "s\th:m:s\tmax_rss\tcpu_time\n12.5\t0:00:12\t300.25\t24.5\n"
    (folder / "results" / "benchmark.tsv").write_text(text)
    Image.new("RGB", (40, 20), "navy").save(folder / "image.jpg")
    Image.new("RGB", (40, 20), "navy").save(folder / "image.png")
    return folder


def is_index(index: ScanIndex) -> bool:
    """What other readers rely on; that it can be written and read again says that its records are well formed."""
    return len(index) > 0 and all(
        isinstance(record.timestamp_us, int) and all(min(camera.size) > 0 for camera in record.cameras)
        for record in index.records
    )


def has_sound_boxes(record: ScanRecord) -> bool:
    if record.annotations is None:
        return True
    boxes = WaymoBoxes.from_text(record.annotations)
    sound = finite(boxes.geometry) and bool((boxes.geometry[:, 3:6] > 0).all())
    return sound and len(boxes.as_boxes()) == len(boxes.types)


def finite(*arrays: np.ndarray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def camera(path: Path, size: tuple[int, int] = (20, 40)) -> Camera:
    return Camera("c", path, size, np.eye(3), np.eye(4))


def are_tensors(content: Any) -> bool:
    return all(
        isinstance(tensor, torch.Tensor) and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
        for tensor in content.values()
    )


#: By reader: the file below the yard, how it is read, and what is sound. What has a checksum is as it was, or refused.
Case = tuple[str, Callable[[Path], Any], Callable[[Any], bool]]
CASES: dict[str, Case] = {
    "labels of KITTI": (
        "KITTI/training/label_2/000003.txt",
        read_objects,
        lambda o: finite(o.size, o.location, o.image_box) and set(o.name.tolist()) <= set(TYPES),
    ),
    "calibration of KITTI": (
        "KITTI/training/calib/000003.txt",
        read_kitti_calibration,
        lambda c: is_rotation(c.rectified_from_lidar[:3, :3]) and finite(np.linalg.inv(c.intrinsics)),
    ),
    "frames of KITTI": (
        "KITTI/ImageSets/train.txt",
        lambda path: kitti_index("d", path.parents[1], "training", "train"),
        lambda index: {record.token for record in index.records} <= {"000003", "000004"},
    ),
    "calibration of SemanticKITTI": (
        "SemanticKITTI/sequences/08/calib.txt",
        read_calibration,
        lambda c: is_rotation(c.camera_from_lidar[:3, :3]) and finite(np.linalg.inv(c.intrinsics)),
    ),
    "poses of SemanticKITTI": (
        "SemanticKITTI/sequences/08/poses.txt", read_poses, lambda p: finite(p) and p.shape[1:] in {(3, 4), ()},
    ),
    "times of SemanticKITTI": ("SemanticKITTI/sequences/08/times.txt", read_times, finite),
    "points of SemanticKITTI": (
        "SemanticKITTI/sequences/08/velodyne/000000.bin",
        lambda path: semantic_kitti_index("d", path.parents[3], "semantic_kitti", "val").read(0).points,
        lambda points: points.shape == (50, 4) and finite(points) and np.abs(points[:, 3] - 0.5).max() <= 0.5,
    ),
    "points of Waymo": (
        "Waymo/training/seg/0.points",
        lambda path: read_points(path, 48, 4),
        lambda points: points.shape == (3, 4) and finite(points) and np.abs(points[:, 3] - 0.5).max() <= 0.5,
    ),
    "labels of Waymo": (
        "Waymo/training/seg/0.labels",
        lambda path: waymo_index("d", path.parents[2], "v1", "training").read(0),
        lambda scan: scan.labels.max() < 23 and len(scan.labels) == len(scan.instances) == 3,
    ),
    "labels of SemanticKITTI": (
        "SemanticKITTI/sequences/08/labels/000000.label",
        lambda path: semantic_kitti_index("d", path.parents[3], "semantic_kitti", "val").read(0),
        lambda scan: scan.labels.max() < 20 and len(scan.labels) == len(scan.instances) == 50,
    ),
    "segments of Waymo": (
        "Waymo/training/seg.json",
        lambda path: waymo_index("d", path.parents[1], "v1", "training"),
        lambda index: is_index(index) and all(map(has_sound_boxes, index.records)),
    ),
    "scan index": (
        "pre-training/index.jsonl", ScanIndex.load, lambda index: fields(index) == fields(ORIGINAL["index"]),
    ),
    "label subset": ("pre-training/subset.txt", Subset.load, lambda subset: subset == ORIGINAL["subset"]),
    "feature bank": (
        "pre-training/features.npy", read_feature_bank, lambda bank: bank.ndim == 5 and bank.dtype == np.float16,
    ),
    "scores": ("results/scores.json", read_scores, lambda scores: scores == ORIGINAL["scores"]),
    "table of scores": (
        "results/scores.tsv",
        read_scores_table,
        lambda table: not np.isinf(table["value"]).any() and table["label_percent"].between(0, 100).all(),
    ),
    "statistics of scans": (
        "results/frames.safetensors",
        read_frames,
        lambda f: f.record == ORIGINAL["frames"].record and (f.counts_FK == ORIGINAL["frames"].counts_FK).all(),
    ),
    "weights": (
        "weights/backbone.safetensors",
        lambda path: (read_record(path), read_tensors(path)),
        lambda found: found[0] == ORIGINAL["record"] and same_tensors(found[1], ORIGINAL["weights"]),
    ),
    "record of weights": (
        "weights/backbone.safetensors", read_record, lambda record: record == ORIGINAL["record"],
    ),
    "weights of others": ("weights/other.safetensors", read_content, are_tensors),
    "published weights": ("weights/small.pt", read_tensors, are_tensors),
    "published network": ("weights/published.pt", read_published_weights, lambda found: are_tensors(found.tensors)),
    "benchmark": (
        "results/benchmark.tsv", read_benchmark, lambda t: all(0 <= n < math.inf for n in dataclasses.astuple(t)),
    ),
    "course": ("results/metrics.csv", read_course, lambda c: len(c) > 0 and finite(c["loss"]) and (c.index > 0).all()),
    "times of steps": (
        "config/step_times.tsv", StepTimes.load, lambda times: all(0 < t.seconds < math.inf for t in times.times),
    ),
    "published numbers": (
        "results/few.csv", read_published, lambda rows: all(math.isfinite(row.value) for row in rows),
    ),
    "published names": ("results/names.csv", read_names, lambda names: all(map(all, names))),
    "published splits": (
        "results/splits.csv", read_splits, lambda splits: all(split.frames >= 1 for split in splits.values()),
    ),
    "config": ("config/config.yaml", read_config, lambda config: isinstance(config, Config)),
    "label map": (
        "label map/mine.yaml",
        lambda path: load_release.__wrapped__(str(path)),
        lambda release: isinstance(release, Release) and release.table.max() == 255,
    ),
    "JPEG": ("image.jpg", lambda path: read_image(camera(path)), lambda pixels: pixels.shape == (20, 40, 3)),
    "PNG": ("image.png", lambda path: read_image(camera(path)), lambda pixels: pixels.shape == (20, 40, 3)),
}  # fmt: skip

ORIGINAL: dict[str, Any] = {}


def fields(index: ScanIndex) -> tuple[Any, ...]:
    return tuple(getattr(index, field.name) for field in dataclasses.fields(index))


def same_tensors(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module", autouse=True)
def originals(yard: Path) -> None:
    torch.save({"a": torch.ones(3), "b": {"c": torch.zeros(2, 2)}}, yard / "weights" / "small.pt")
    lines = (yard / "results" / "published.csv").read_bytes().splitlines(True)
    (yard / "results" / "few.csv").write_bytes(b"".join(lines[:4]))
    for name in ("names", "splits"):
        lines = (yard / "results" / f"{name}.csv").read_bytes().splitlines(True)
        (yard / "results" / f"{name}.csv").write_bytes(b"".join(lines[:4]))
    ORIGINAL.update(
        index=ScanIndex.load(yard / "pre-training" / "index.jsonl"),
        subset=Subset.load(yard / "pre-training" / "subset.txt"),
        scores=read_scores(yard / "results" / "scores.json"),
        frames=read_frames(yard / "results" / "frames.safetensors"),
        weights=read_tensors(yard / "weights" / "backbone.safetensors"),
        record=read_record(yard / "weights" / "backbone.safetensors"),
    )


@pytest.mark.parametrize("reader", CASES)
def test_changed_files_are_refused_or_sound(yard: Path, reader: str) -> None:
    file, read, sound = CASES[reader]
    fuzz(yard / file, read, sound)


def test_yaml_gives_plain_values_or_a_reason(yard: Path) -> None:
    from cmcr.errors import ConfigError

    def read(path: Path) -> Any:
        try:
            return read_yaml(path)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    fuzz(yard / "label map" / "mine.yaml", read, lambda value: value is None or type(value).__module__ in _PLAIN)


_PLAIN = ("builtins", "datetime")


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        *("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "category", "lidarseg"),
        *("sample_annotation", "instance", "attribute"),
    ],
)
def test_changed_tables_of_nuscenes_are_refused_or_sound(yard: Path, tmp_path: Path, table: str) -> None:
    root = tmp_path / "nuScenes"
    shutil.copytree(yard / "nuScenes", root)

    def read(path: Path) -> ScanIndex:
        return nuscenes_index("d", path.parents[1], "v1.0-mini", "mini_train")

    def sound(index: ScanIndex) -> bool:
        index.save(tmp_path / "index.jsonl")
        return is_index(index) and ScanIndex.load(tmp_path / "index.jsonl").records == index.records

    fuzz(root / "v1.0-mini" / f"{table}.json", read, sound)


@pytest.mark.parametrize("file", [PANOPTIC, LIDARSEG])
def test_changed_labels_of_nuscenes_are_refused_or_sound(yard: Path, tmp_path: Path, file: str) -> None:
    root = tmp_path / "nuScenes"
    shutil.copytree(yard / "nuScenes", root)
    index = nuscenes_index("d", root, "v1.0-mini", "mini_train")
    number = next(n for n, record in enumerate(index.records) if file in (record.labels, record.panoptic))
    fuzz(
        root / file,
        lambda _: index.read(number),
        lambda scan: scan.labels.max() < 17 and scan.instances.max() < 1000 * len(CATEGORIES),
    )


def test_changed_superpixels_are_refused_or_sound(yard: Path) -> None:
    index = ScanIndex.load(yard / "pre-training" / "index.jsonl")
    files = SuperpixelFiles(yard / "pre-training" / "superpixels", index.root, SuperpixelOptions(segments=8))
    of = index.read(0, with_labels=False).cameras[0]
    fuzz(files.path(of), lambda _: files.read(of), lambda regions: regions.shape == of.size)


PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


@SETTINGS
@given(st.text(max_size=40) | st.text("\\`*_[]()<>!|~$#&\r\n\t-+.:/ ahttp123\u2028\x0b\x1c", max_size=40))
def test_escaped_text_is_one_cell_of_markdown_and_says_the_same(text: str) -> None:
    tokens = PARSER.parse(f"| a | b |\n| --- | --- |\n| {escape_markdown(text)} | end |\n")
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type == "inline"]
    assert (len(rows), len(cells), tokens[0].type) == (2, 4, "table_open")
    children = cells[2].children or []
    assert {child.type for child in children} <= {"text", "text_special", "softbreak"}
    shown = "".join(child.content for child in children)
    assert " ".join(shown.split()) == " ".join(re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", text).split())


@SETTINGS
@given(st.text(max_size=40) | st.text('\\{}$&#_%~^<>|"[]*±²\n\r ab', max_size=40))
def test_escaped_text_has_no_command_of_its_own_in_latex(text: str) -> None:
    escaped = escape_latex(text)
    left = escaped
    for known in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\textless{}", r"\textgreater{}",
                  r"\textbar{}", "{''}", "{[}", "{]}", "{*}", r"$\pm$", "$^2$"):  # fmt: skip
        left = left.replace(known, "")
    for character in "{}$&#_%":
        left = left.replace("\\" + character, "")
    assert not set(left) & set('\\{}$&#_%~^<>|"[]*\n\r')
    assert "\n" not in escaped
