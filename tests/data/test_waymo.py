from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmcr.data.index import ScanIndex
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera
from cmcr.data.waymo_index import make_index, splits_here
from cmcr.errors import DataError

POINTS = np.array([[10, 0, 0, 0.5], [20, 1, 0, 0.25], [5, -1, -1, 1]], np.float32)
LABELS = np.array([1 | 7 << 16, 18, 0], np.uint32)
IDENTITY = np.eye(4)[:3].ravel().tolist()


def frame(number: int, labelled: bool) -> dict[str, Any]:
    return {
        "token": f"seg_{number:03d}",
        "timestamp_us": number,
        "vehicle_from_lidar": [1, 0, 0, 1.43, 0, 1, 0, 0, 0, 0, 1, 2.18],
        "world_from_vehicle": IDENTITY,
        "points": f"validation/seg/points/{number:03d}.bin",
        "points_bytes": 48,
        "labels": f"validation/seg/labels/{number:03d}.label" if labelled else None,
        "labels_bytes": 12 if labelled else None,
        "cameras": [
            {
                "name": "FRONT",
                "size": [100, 200],
                "intrinsics": [100, 0, 100, 0, 100, 50, 0, 0, 1],
                "distortion": [0.0, 0, 0, 0, 0],
                # x right, y down, z forward of a camera that looks along x from the LiDAR's place
                "vehicle_from_camera": [0, 0, 1, 1.43, -1, 0, 0, 0, 0, -1, 0, 2.18],
                "world_from_vehicle": IDENTITY,
                "image": f"validation/seg/images/{number:03d}_FRONT.jpg",
                "image_bytes": 3,
            }
        ],
        "boxes": [],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames, of which the first has labels."""
    frames = [frame(0, labelled=True), frame(1, labelled=False)]
    for record in frames:
        for path, content in (
            (record["points"], POINTS.tobytes()),
            (record["cameras"][0]["image"], b"jpg"),
            (record["labels"], LABELS.tobytes()),
        ):
            if path is not None:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_bytes(content)
    write(tmp_path, frames)
    return tmp_path


def write(root: Path, frames: list[dict[str, Any]], **changes: Any) -> None:
    content = {"format": "cmcr waymo segment", "format_version": 1, "segment": "seg", "problems": [], "frames": frames}
    (root / "validation" / "seg.json").write_text(json.dumps({**content, **changes}))


def index_of(root: Path, split: str = "validation") -> ScanIndex:
    return make_index("waymo", root, "v1", split)


def test_a_frame_is_read_with_its_labels_and_instances(root: Path) -> None:
    scan = index_of(root).read(0)
    np.testing.assert_array_equal(scan.points, POINTS)
    assert scan.labels is not None
    assert scan.instances is not None
    assert scan.labels.tolist() == [1, 18, 0]
    assert scan.instances.tolist() == [1 | 7 << 16, 0, 0]
    assert scan.scene == "seg"
    assert index_of(root).read(1).labels is None
    assert index_of(root).read(0, with_labels=False).labels is None


def test_a_split_of_labelled_frames(root: Path) -> None:
    assert [record.token for record in index_of(root).records] == ["seg_000", "seg_001"]
    assert [record.token for record in index_of(root, "validation_labelled").records] == ["seg_000"]


def test_points_are_projected_from_the_lidars_place(root: Path) -> None:
    scan = index_of(root).read(0)
    pairs = pair_points_with_pixels(scan.points, scan.cameras)
    # By hand: u = 100 - 100 y / x, v = 50 - 100 z / x.
    assert list(zip(pairs.point, pairs.row, pairs.column, strict=True)) == [(0, 50, 100), (1, 50, 95), (2, 70, 120)]


def test_an_index_comes_back_with_the_lens(root: Path, tmp_path: Path) -> None:
    frames = [frame(0, labelled=True)]
    frames[0]["cameras"][0]["distortion"] = [0.1, -0.2, 0.001, 0.002, 0.3]
    write(root, frames)
    index_of(root).save(tmp_path / "index.jsonl")
    (camera,) = ScanIndex.load(tmp_path / "index.jsonl").read(0).cameras
    assert camera.distortion is not None
    assert camera.distortion.tolist() == [0.1, -0.2, 0.001, 0.002, 0.3]


def test_a_lens_by_hand() -> None:
    # x = 0.5, y = 0: r2 = 0.25, radial = 1 + 0.2 * 0.25 = 1.05, tangential p2 (r2 + 2 x^2) = 0.01 * 0.75.
    distortion = np.array([0.2, 0, 0, 0.01, 0])
    intrinsics = np.array([[1000.0, 0, 600], [0, 1000, 500], [0, 0, 1]])
    camera = Camera("c", Path("none"), (1000, 1400), intrinsics, np.eye(4), distortion=distortion)
    pairs = pair_points_with_pixels(np.array([[2, 0, 4, 0], [200, 0, 4, 0]], np.float32), [camera])
    assert pairs.point.tolist() == [0]  # the other lies where the polynomial means nothing
    assert (pairs.row.item(), pairs.column.item()) == (500, round(600 + 1000 * (0.5 * 1.05 + 0.0075)))
    plain = pair_points_with_pixels(
        np.array([[2, 0, 4, 0]], np.float32), [dataclasses.replace(camera, distortion=None)]
    )
    assert plain.column.item() == 1100


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "validation/seg/points/001.bin").write_bytes(b"x" * 40), r"001.bin.*48 bytes.*40 bytes"),
        (
            lambda root: (root / "validation/seg/labels/000.label").write_bytes(b"x" * 8),
            r"000.label.*12 bytes.*8 bytes",
        ),
        (lambda root: (root / "validation/seg/images/000_FRONT.jpg").unlink(), r"000_FRONT.jpg.*no such file"),
        (lambda root: (root / "validation/seg.json").write_text("{"), r"seg.json.*converted segment.*JSONDecodeError"),
        (lambda root: write(root, [{}]), r"seg.json.*KeyError"),
        (lambda root: write(root, [], format_version=9), r"version 1.*version 9"),
        (lambda root: (root / "validation/seg.json").unlink(), r"none.*tfrecords"),
        (
            lambda root: write(root, [frame(0, True) | {"world_from_vehicle": [float("nan")] * 12}]),
            r"world_from_vehicle: expected 12 finite",
        ),
        (lambda root: write(root, [frame(0, True) | {"points": "../secret.bin"}]), r"leads out of it"),
    ],
)
def test_damage_is_named_when_the_index_is_made(damage: Any, message: str, root: Path) -> None:
    damage(root)
    with pytest.raises(DataError, match=f"(?s){message}"):
        index_of(root)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("points/000.bin", np.array([[np.nan, 0, 0, 0], *POINTS[:2].tolist()], np.float32), "1 of 3 points with NaN"),
        ("points/000.bin", POINTS * np.array([1, 1, 1, 4], np.float32), r"intensities in \[0, 1\].*1 to 4"),
        ("labels/000.label", np.array([1, 23, 0], np.uint32), "class 23 at point 1"),
    ],
)
def test_damage_inside_a_file_is_named_when_it_is_read(path: str, content: Any, message: str, root: Path) -> None:
    index = index_of(root)
    (root / "validation/seg" / path).write_bytes(content.tobytes())
    with pytest.raises(DataError, match=f"(?s){path}.*{message}"):
        index.read(0)


def test_frames_lost_in_conversion_are_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, [frame(0, labelled=True)], problems=["frame 1: damaged record"])
    assert len(index_of(root)) == 1
    assert "frame 1: damaged record; the frames before it are used" in caplog.text


def test_a_segment_in_two_files_counts_once(root: Path) -> None:
    scans = len(index_of(root))
    (root / "validation/seg_again.json").write_bytes((root / "validation/seg.json").read_bytes())
    with pytest.raises(DataError, match=r"seg_again\.json\n.*each segment once\n.*as in seg\.json"):
        index_of(root)
    problems: list[DataError] = []
    assert len(make_index("waymo", root, "v1", "validation", problems.append)) == scans
    assert len(problems) == 1


def test_a_split_without_labels_says_so(root: Path) -> None:
    write(root, [frame(1, labelled=False)])
    with pytest.raises(DataError, match=r"(?s)frames with labels.*none"):
        index_of(root, "validation_labelled")


def test_all_problems_can_be_told_and_splits_are_found(root: Path) -> None:
    assert splits_here(root, "v1") == ["validation"]
    (root / "parts").mkdir()
    (root / "parts" / "scene.json").write_text("{}")  # of the toy city, no segment
    assert splits_here(root, "v1") == ["validation"]
    (root / "validation/seg/points/000.bin").unlink()
    (root / "validation/seg/images/001_FRONT.jpg").write_bytes(b"longer")
    (root / "validation/zzz.json").write_text("{")
    problems: list[DataError] = []
    index = make_index("waymo", root, "v1", "validation", problems.append)
    assert len(index) == 2
    told = "\n".join(map(str, problems))
    assert len(problems) == 3
    assert all(name in told for name in ("000.bin", "001_FRONT.jpg", "zzz.json"))
