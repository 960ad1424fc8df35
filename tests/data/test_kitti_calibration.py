from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from invented_kitti import P2, R0, TR, calibration

from cmcr.data.kitti_calibration import read_calibration
from cmcr.errors import DataError


def matrix(text: str, *shape: int) -> np.ndarray:
    return np.array(text.split(), dtype=np.float64).reshape(shape)


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "000001.txt").write_text(text)
    return tmp_path / "000001.txt"


def test_intrinsics_and_pose_are_the_product_of_the_files_matrices(tmp_path: Path) -> None:
    found = read_calibration(written(tmp_path, calibration()))
    rotation, pose = np.eye(4), np.eye(4)
    rotation[:3, :3], pose[:3] = matrix(R0, 3, 3), matrix(TR, 3, 4)
    expected = matrix(P2, 3, 4) @ rotation @ pose
    np.testing.assert_allclose(found.intrinsics @ found.camera_from_lidar[:3], expected, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(found.rectified_from_lidar, rotation @ pose, atol=0)


def test_the_real_calibration(shared: Path) -> None:
    path = shared / "real" / "kitti" / "training" / "calib" / "000008.txt"
    rows = dict(line.split(":") for line in path.read_text().splitlines() if ":" in line)
    found = read_calibration(path)
    rotation, pose = np.eye(4), np.eye(4)
    rotation[:3, :3], pose[:3] = matrix(rows["R0_rect"], 3, 3), matrix(rows["Tr_velo_to_cam"], 3, 4)
    expected = matrix(rows["P2"], 3, 4) @ rotation @ pose
    np.testing.assert_allclose(found.intrinsics @ found.camera_from_lidar[:3], expected, rtol=1e-12, atol=1e-10)
    assert found.camera_from_lidar[2, :3] @ (1, 0, 0) > 0.99  # the camera looks along x
    assert found.rectified_from_camera[0, 3] == pytest.approx(-0.06, abs=0.001)  # camera 2 is 6 cm left of camera 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (calibration(R0_rect=""), "no R0_rect"),
        (calibration(P2="", Tr_velo_to_cam=""), "no P2, Tr_velo_to_cam"),
        (calibration(R0_rect="1 0 0 0 1 0 0 0"), "line 3"),
        (calibration(P2="1 0 0 x" + " 0" * 8), "line 2"),
        (calibration(Tr_velo_to_cam="nan" + " 0" * 11), "line 4"),
        (calibration(P2="0 " * 12), "inverted"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, found: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as error:
        read_calibration(path)
    assert str(path) in str(error.value)
    assert found in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"000002\.txt"):
        read_calibration(tmp_path / "000002.txt")
