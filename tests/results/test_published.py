from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmcr.errors import DataError
from cmcr.results.published import (
    Lineage,
    Reference,
    Split,
    read_gaps,
    read_lineages,
    read_names,
    read_published,
    read_splits,
)

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
HEADER = (REFERENCE / "cmcr_paper.csv").read_text()
ROW = "SLidR,CVPR'22,ResNet-50,MinkUNet34,nuscenes,semseg,nuscenes,,finetune,1,mIoU,38.30,a place,a work\n"


def test_the_files_of_the_repository_can_be_read() -> None:
    values = read_published(REFERENCE / "published.csv")
    assert len(values) >= 1887
    # Each number is there as it was printed, and every source has a lineage.
    assert {float(value.printed) - value.value for value in values} == {0.0}
    lineages = read_lineages(REFERENCE / "lineages.csv")
    assert {value.quoted_by for value in values} == set(lineages)
    slidr = [
        value
        for value in values
        if (value.method, value.dataset, value.protocol, value.label_ratio) == ("SLidR", "nuscenes", "finetune", 1)
        and value.task == "semseg"
    ]
    printed = {(lineages[value.quoted_by].name, value.printed) for value in slidr if "MoCo" in value.image_teacher}
    assert printed == {
        ("SLidR README", "38.3"),
        ("SLidR README", "39.0"),
        ("Seal and later", "38.30"),
        ("ST-SLidR's re-runs", "40.01"),
    }
    names = read_names(REFERENCE / "names.csv")
    known = {"dataset": {v.dataset for v in values}, "method": {v.method for v in values}}
    known |= {"metric": {v.metric for v in values}, "teacher": {v.image_teacher for v in values}}
    known |= {"task": {v.task for v in values}, "network": {v.backbone_3d for v in values}}
    for (kind, _), published in names.items():
        assert set(published) <= known[kind]
    assert set(read_splits(REFERENCE / "splits.csv")) <= known["dataset"]
    assert set(read_gaps(REFERENCE / "gaps.csv")) <= known["method"]


def test_the_file_for_cmcrs_own_numbers_has_the_same_columns_and_no_row() -> None:
    with (REFERENCE / "published.csv").open() as file:
        assert next(csv.reader(file)) == HEADER.strip().split(",")
    assert read_published(REFERENCE / "cmcr_paper.csv") == []


def test_no_number_was_lost_or_changed(shared: Path) -> None:
    ours = (REFERENCE / "published.csv").read_text().splitlines()
    assert (shared / "reference" / "published.csv").read_text().splitlines() == ours[:1888]


def test_a_row_becomes_a_value(tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text(HEADER + ROW + ROW.replace("finetune,1,", ",,").replace("a place", '"a, b"'))
    stated, not_stated = read_published(path)
    assert (stated.protocol, stated.label_ratio, stated.value, stated.printed) == ("finetune", 1.0, 38.3, "38.30")
    assert (not_stated.protocol, not_stated.label_ratio, not_stated.source) == ("", None, "a, b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected: the columns method, .*found:    an empty file"),
        (HEADER.replace("label_ratio", "percent") + ROW, "found:    method, .*percent"),
        (HEADER + ROW + ROW.replace("38.30", "38.3 %"), "column value: a finite number .*found:    '38.3 %' in line 3"),
        (HEADER + ROW.replace("38.30", "nan"), "column value: .*found:    'nan' in line 2"),
        (HEADER + ROW.replace("38.30", "inf"), "column value: .*found:    'inf' in line 2"),
        (HEADER + ROW.replace(",1,", ",101,"), "column label_ratio: a share in percent.*found:    '101'"),
        (HEADER + ROW.replace(",1,", ",0,"), "column label_ratio: .*found:    '0'"),
        (HEADER + ROW.replace("semseg", "semantic"), "column task: semseg or detection or panoptic"),
        (HEADER + ROW.replace("finetune", "ft"), "column protocol: linear_probe or finetune or nothing"),
        (HEADER + ROW.replace("SLidR", "", 1), "column method: a name or text"),
        (HEADER + ROW.replace("a place", "a, b"), "14 fields in each line\n  found:    15 in line 2"),
    ],
)
def test_a_damaged_table_is_named_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"(?s)published.csv.*{message}"):
        read_published(path)


def test_a_table_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)none.csv.*found:    no file"):
        read_published(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"(?s)bytes.csv.*UTF-8"):
        read_published(tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_names, "kind,ours,published\nmethods,a,b\n", "column kind: task or metric or method"),
        (read_lineages, "quoted_by,lineage,comparable,remark\na,b,maybe,\n", "column comparable: yes or no"),
        (read_lineages, "quoted_by,lineage,comparable,remark\na,b,yes,\na,c,no,\n", "line 3: 'a' again"),
        (read_splits, "dataset,split,frames\na,val,1.5\n", "column frames: a whole number"),
        (read_splits, "dataset,split,frames\na,val,\n", "column frames: a whole number"),
        (read_gaps, "method,reason\nCMCR,\n", "column reason: a name or text"),
    ],
)
def test_the_other_tables_are_checked_as_well(
    tmp_path: Path, read: Callable[[Path], Any], text: str, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"(?s)t.csv.*{message}"):
        read(path)


def test_what_is_not_listed_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("kind,ours,published\nteacher,resnet50,A\nteacher,resnet50,B\n")
    reference = Reference([], read_names(tmp_path / "names.csv"), {"x": Lineage("family", False)})
    assert reference.published_names("teacher", "resnet50") == ("A", "B")
    assert reference.published_names("method", "resnet50") == ("resnet50",)
    assert reference.lineage("x") == Lineage("family", False)
    assert reference.lineage("y") == Lineage("y", True)
    (tmp_path / "splits.csv").write_text("dataset,split,frames\ntown,,12\n")
    assert read_splits(tmp_path / "splits.csv") == {"town": Split("", 12)}
