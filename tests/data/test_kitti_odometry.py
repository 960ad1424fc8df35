"""Calibrations, poses and times as text: P2 Tr to the last bits, and one clear error from each kind of bad file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.kitti_odometry import read_calibration, read_poses, read_times
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera
from cmcr.errors import DataError


def calibration(folder: Path, projection: np.ndarray, lidar: np.ndarray) -> Path:
    path = folder / "calib.txt"
    rows = {"P0": np.eye(3, 4), "P2": projection, "Tr": lidar}
    path.write_text("".join(f"{name}: {' '.join(map(repr, m.ravel().tolist()))}\n" for name, m in rows.items()))
    return path


@given(st.integers(0, 1000))
def test_intrinsics_and_pose_give_the_projection_again(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    projection = np.array([[700, 0, 600, 0], [0, 710, 170, 0], [0, 0, 1, 0.0]])
    projection[:, 3] = rng.uniform(-400, 400, 3) * (1, 0.01, 1e-4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    lidar = np.column_stack([rotation, rng.normal(size=3)])
    found = read_calibration(calibration(tmp_path_factory.mktemp("calib"), projection, lidar))
    expected = projection @ np.vstack([lidar, (0, 0, 0, 1)])
    np.testing.assert_allclose(found.intrinsics @ found.camera_from_lidar[:3], expected, rtol=1e-12, atol=1e-10)
    np.testing.assert_array_equal(found.camera0_from_lidar[:3], lidar)
    # The camera's pose is a pose: what turns is still a rotation.
    np.testing.assert_allclose(
        found.camera_from_lidar[:3, :3] @ found.camera_from_lidar[:3, :3].T, np.eye(3), atol=1e-12
    )


def test_points_of_a_real_frame_fall_where_kittis_own_matrices_put_them(shared: Path, tmp_path: Path) -> None:
    frame = shared / "real" / "kitti" / "training"
    lines = (frame / "calib" / "000008.txt").read_text().splitlines()
    given_ = {line.split(":")[0]: np.array(line.split(":")[1].split(), float) for line in lines if line.strip()}
    rectify, projection = given_["R0_rect"].reshape(3, 3), given_["P2"].reshape(3, 4)
    # The odometry files' Tr has the rectification in it.
    lidar = rectify @ given_["Tr_velo_to_cam"].reshape(3, 4)
    found = read_calibration(calibration(tmp_path, projection, lidar))
    points = np.fromfile(frame / "velodyne" / "000008.bin", dtype="<f4").reshape(-1, 4)
    camera = Camera("image_2", frame / "image_2" / "000008.png", (375, 1242), found.intrinsics, found.camera_from_lidar)
    pairs = pair_points_with_pixels(points, [camera])
    assert len(pairs) > 17_000  # of 17,238: the frame was cut to what the camera sees
    u, v, w = projection @ np.vstack([lidar, (0, 0, 0, 1)]) @ np.column_stack([points[:, :3], np.ones(len(points))]).T
    np.testing.assert_allclose((v / w)[pairs.point], pairs.row, atol=0.5 + 1e-3)
    np.testing.assert_allclose((u / w)[pairs.point], pairs.column, atol=0.5 + 1e-3)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "No such file"),
        ("P2: 1 0 0 0 0 1 0 0 0 0 1 0\n", "no Tr"),
        ("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n", "no P2"),
        ("P2: 1 0 0\n", "line 1"),
        ("P2: 1 0 0 0 0 1 0 0 0 0 1 x\n", "12 finite numbers"),
        ("P2: 0 0 0 0 0 1 0 0 0 0 1 0\nTr: 1 0 0 0 0 1 0 0 0 0 1 0\n", "one that no camera has"),
    ],
)
def test_a_bad_calibration_is_refused(tmp_path: Path, text: str | None, found: str) -> None:
    if text is not None:
        (tmp_path / "calib.txt").write_text(text)
    with pytest.raises(DataError, match=found):
        read_calibration(tmp_path / "calib.txt")


def test_poses_and_times(tmp_path: Path) -> None:
    (tmp_path / "poses.txt").write_text("1 0 0 5 0 1 0 6 0 0 1 7\n\n1 0 0 0 0 1 0 0 0 0 1 0\n")
    (tmp_path / "times.txt").write_text("0.000000e+00\n1.037000e-01\n")
    assert read_poses(tmp_path / "poses.txt")[0, :, 3].tolist() == [5, 6, 7]
    assert read_times(tmp_path / "times.txt").tolist() == [0, 0.1037]
    (tmp_path / "times.txt").write_text("0\nnan\n")
    with pytest.raises(DataError, match="line 2"):
        read_times(tmp_path / "times.txt")
    (tmp_path / "times.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_times(tmp_path / "times.txt")
