from __future__ import annotations

from pathlib import Path

import pytest

from cmcr.errors import DataError
from cmcr.pretrain.course import end_of_course, read_course

GOOD = "step,epoch,lr,loss,info_nce,error_inside_masks\n1,0,0.1,5,3,nan\n2,0,0.2,4.5,2.5,0.25\n5,1,0.1,4,2,0.75\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "metrics.csv"
    path.write_text(text)
    return path


def test_rows_come_back_by_step(tmp_path: Path) -> None:
    course = read_course(written(tmp_path, GOOD))
    assert list(course.index) == [1, 2, 5]
    assert list(course.columns) == ["epoch", "lr", "loss", "info_nce", "error_inside_masks"]
    assert course["loss"].tolist() == [5, 4.5, 4]
    assert course["error_inside_masks"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found:    the header ''"),
        ("step,epoch,loss\n1,0,2\n", "found:    the header 'step,epoch,loss'"),
        ("step,epoch,lr,loss,a,a\n1,0,1,1,1,1\n", "the header"),
        ("step,epoch,lr,loss\n", "at least one row"),
        (GOOD + "6,1,0.1\n", r"line 5 has 3 fields, not 6: '6,1,0\.1'"),
        (GOOD + "6,1,0.1,4,2,0.5,9\n", "line 5 has 7 fields"),
        (GOOD + "6,1,0.1,oops,2,1\n", "oops"),
        (GOOD + "5,1,0.1,4,2,1\n", "whole steps that rise"),
        (GOOD + "6.5,1,0.1,4,2,1\n", "whole steps"),
        (GOOD + "9" * 20 + ",1,0.1,4,2,1\n", "whole steps"),
        (GOOD + "inf,1,0.1,4,2,1\n", "whole steps"),
        (GOOD + ",1,0.1,4,2,1\n", "whole steps that rise"),
        (GOOD + "6,1,0.1,nan,2,1\n", "a finite loss"),
    ],
)
def test_a_damaged_course_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as raised:
        read_course(path)
    assert str(raised.value).startswith(str(path))
    assert "pre-train again" in str(raised.value)


def test_a_missing_course_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metrics\.csv\n.*\n  found:    no such file"):
        read_course(tmp_path / "metrics.csv")


def test_the_end_is_the_last_tenth(tmp_path: Path) -> None:
    rows = "".join(f"{step},0,1,1,{step}\n" for step in range(1, 31))
    path = written(tmp_path, "step,epoch,lr,loss,use\n" + rows)
    assert end_of_course(read_course(path), path, ["use"]) == {"use": 29}
    with pytest.raises(DataError, match=r"metrics\.csv\n  expected: the column\(s\) codebook_x"):
        end_of_course(read_course(path), path, ["use", "codebook_x"])
