from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmcr.data.kitti_labels import read_objects, write_objects
from cmcr.errors import DataError

CAR = "Car 0.88 3 -0.69 0.00 192.37 402.31 374.00 1.60 1.57 3.23 -2.70 1.74 3.68 -1.29"
REGION = "DontCare -1 -1 -10 800.38 163.67 825.45 184.07 -1 -1 -1 -1000 -1000 -1000 -10"


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "000001.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_fields_of_a_line(tmp_path: Path) -> None:
    objects = read_objects(written(tmp_path, CAR, "", REGION))
    assert objects.name.tolist() == ["Car", "DontCare"]
    assert (objects.truncation[0], objects.occlusion[0], objects.alpha[0]) == (0.88, 3, -0.69)
    assert objects.image_box[0].tolist() == [0, 192.37, 402.31, 374]
    assert objects.size[0].tolist() == [1.60, 1.57, 3.23]
    assert objects.location[0].tolist() == [-2.70, 1.74, 3.68]
    assert objects.rotation_y[0] == -1.29
    assert objects.score is None
    assert len(objects.select(objects.name == "Car")) == 1


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    first = read_objects(written(tmp_path, CAR + " 0.123456789"), scored=True)
    write_objects(tmp_path / "copy.txt", first)
    assert (tmp_path / "copy.txt").read_text() == CAR + " 0.123456789\n"
    labels = read_objects(written(tmp_path, CAR))
    write_objects(tmp_path / "copy.txt", labels)
    assert (tmp_path / "copy.txt").read_text() == CAR + "\n"


def test_no_objects(tmp_path: Path) -> None:
    for scored in (False, True):
        objects = read_objects(written(tmp_path), scored=scored)
        assert len(objects) == 0
        assert objects.image_box.shape == (0, 4)
    write_objects(tmp_path / "copy.txt", objects)
    assert (tmp_path / "copy.txt").read_text() == ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (CAR.rsplit(" ", 1)[0], "14 fields"),
        (CAR + " 0.5", "16 fields"),
        (CAR.replace("Car", "Horse"), "Horse"),
        (CAR.replace("1.57", "wide"), "wide"),
        (CAR.replace("1.57", "nan"), "nan"),
        (CAR.replace("1.57", "0"), "1.6 x 0 x 3.23 m"),
        (CAR.replace("3.23", "-1"), "1.6 x 1.57 x -1 m"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, found: str) -> None:
    path = written(tmp_path, REGION, line)
    with pytest.raises(DataError) as error:
        read_objects(path)
    assert f"{path}, line 2" in str(error.value)
    assert found in str(error.value)


def test_results_need_a_score(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="15 fields"):
        read_objects(written(tmp_path, CAR), scored=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"000009\.txt"):
        read_objects(tmp_path / "000009.txt")


def test_real_labels(shared: Path) -> None:
    objects = read_objects(shared / "real" / "kitti" / "training" / "label_2" / "000008.txt")
    assert objects.name.tolist() == ["Car"] * 6 + ["DontCare"] * 4
    assert np.isfinite(objects.location).all()
