from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmcr.data.point_files import read_bytes, read_points
from cmcr.errors import DataError

POINTS = np.array([[1, 2, 3, 51, 7], [4, 5, 6, 255, 8]], "<f4")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.bin"
    POINTS.tofile(path)
    return path


def test_four_of_the_numbers_are_taken_and_intensity_is_scaled(sweep: Path) -> None:
    points = read_points(sweep, 40, 5, intensity_max=255)
    assert points.dtype == np.float32
    assert points[:, :3].tolist() == POINTS[:, :3].tolist()
    assert points[:, 3].tolist() == [np.float32(0.2), 1]


@pytest.mark.parametrize(
    ("num_bytes", "columns", "message"),
    [(36, 5, "36 bytes, 20 for each point.*40 bytes"), (40, 4, "40 bytes, 16 for each point.*40 bytes")],
)
def test_another_size_than_indexed_is_refused(sweep: Path, num_bytes: int, columns: int, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}.*fetch the file again"):
        read_points(sweep, num_bytes, columns)


@pytest.mark.parametrize(
    ("value", "column", "message"),
    [
        (np.nan, 1, "1 of 2 points with NaN or infinity, the first is point 1"),
        (np.inf, 3, "point 1"),
        (256, 3, r"intensities in \[0, 255\].*51 to 256"),
        (-1, 3, r"intensities in \[0, 255\].*-1 to 51"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(sweep: Path, value: float, column: int, message: str) -> None:
    damaged = POINTS.copy()
    damaged[1, column] = value
    damaged.tofile(sweep)
    with pytest.raises(DataError, match=f"(?s)sweep.bin.*{message}.*make it anew"):
        read_points(sweep, 40, 5, intensity_max=255, way_out="make it anew")


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no\.bin.*expected: labels.*No such file"):
        read_bytes(tmp_path / "no.bin", "labels")
    (tmp_path / "empty.bin").touch()
    with pytest.raises(DataError, match=r"(?s)empty\.bin.*0 bytes"):
        read_points(tmp_path / "empty.bin", 0, 4)
