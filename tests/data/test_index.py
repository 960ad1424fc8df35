"""The index as a file: the same back, the same bytes for the same data, and no edit unnoticed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.index import ScanIndex
from cmcr.data.scan_record import from_text, to_text
from cmcr.errors import DataError


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=12, max_size=12))
def test_matrices_survive_as_text_to_the_last_bit(values):
    matrix = np.array(values).reshape(3, 4)
    np.testing.assert_array_equal(from_text(to_text(matrix), (3, 4)), matrix)


def test_a_file_gives_the_same_index_back(scans: ScanIndex, tmp_path):
    scans.save(tmp_path / "a" / "index.json")
    loaded = ScanIndex.load(tmp_path / "a" / "index.json")
    for field in dataclasses.fields(ScanIndex):
        assert getattr(loaded, field.name) == getattr(scans, field.name)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "a" / "index.json").read_bytes()
    np.testing.assert_array_equal(loaded.read(2).points, scans.read(2).points)


def test_the_checksum_covers_records_and_not_the_root(scans: ScanIndex):
    def checksum(**changes) -> str:
        return dataclasses.replace(scans, **changes, checksum="").checksum

    assert checksum(root=Path("/elsewhere")) == scans.checksum
    assert checksum(records=scans.records[:-1]) != scans.checksum
    assert checksum(records=scans.records[::-1]) != scans.checksum
    changed = dataclasses.replace(scans.records[0], lidar_bytes=20)
    assert checksum(records=(changed, *scans.records[1:])) != scans.checksum


def test_what_only_some_data_sets_have_is_kept_and_otherwise_not_mentioned(scans: ScanIndex, tmp_path):
    assert not any(word in scans.records[0].to_json() for word in ("layout", "camera_from_lidar"))
    camera = dataclasses.replace(scans.records[0].cameras[0], camera_from_lidar=to_text(np.eye(3, 4)))
    record = dataclasses.replace(scans.records[0], layout="semantic_kitti@00000000", cameras=(camera,))
    with_both = dataclasses.replace(scans, records=(record,), checksum="")
    with_both.save(tmp_path / "index.jsonl")
    assert ScanIndex.load(tmp_path / "index.jsonl").records == (record,)


@pytest.mark.parametrize("poses", [(), ("1 2 3",), ("nan " * 12,), ("a " * 12,)])
def test_a_record_of_no_numbers_names_its_scan_and_who_may_be_at_fault(scans: ScanIndex, poses: tuple[str, ...]):
    record = dataclasses.replace(scans.records[0], world_from_lidar=poses)
    forged = dataclasses.replace(scans, records=(record,), checksum="")
    message = rf"scan {record.token}\n  expected: a record of numbers\n[\s\S]*cmcr/data/{scans.reader}\.py is at fault"
    with pytest.raises(DataError, match=message):
        forged.read(0)


def edit(path: Path, *, header: dict | None = None, old: str = "", new: str = "") -> None:
    """Change some keys of the header (None deletes one) and replace some text of the records."""
    first, rest = path.read_text().split("\n", 1)
    fields = json.loads(first) | (header or {})
    fields = {name: value for name, value in fields.items() if value is not None}
    assert old in rest
    path.write_text(json.dumps(fields) + "\n" + rest.replace(old, new))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"header": {"format_version": 1}}, "version 1, written by another version"),
        ({"header": {"format": "something"}}, "another kind of file"),
        ({"header": {"checksum": "0" * 64}}, "header was damaged or edited"),
        ({"header": {"class_names": ["ignore", "truck"]}}, "header was damaged or edited"),
        ({"header": {"class_names": None}}, "no class_names"),
        ({"old": "scan3", "new": "scan9"}, "cut short, damaged or edited"),
        ({"old": "CAM_BACK_2.jpg", "new": "../../secret.jpg"}, "cut short, damaged or edited"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(scans: ScanIndex, tmp_path, change, found):
    path = tmp_path / "index.json"
    scans.save(path)
    edit(path, **change)
    with pytest.raises(DataError, match=rf"index\.json[\s\S]*expected[\s\S]*found[\s\S]*{found}[\s\S]*way out"):
        ScanIndex.load(path)


@pytest.mark.parametrize("lines", [1, 4])
def test_a_file_cut_short_is_refused(scans: ScanIndex, tmp_path, lines):
    path = tmp_path / "index.json"
    scans.save(path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    with pytest.raises(DataError, match="cut short"):
        ScanIndex.load(path)


@pytest.mark.parametrize("content", [b"", b"tokens\n", b"[1, 2]\n", b"\xff\xfe\x00\x01", b'{"format": "cmcr scan'])
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "index.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"index\.json[\s\S]*expected"):
        ScanIndex.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.json[\s\S]*No such file"):
        ScanIndex.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.bin", "samples/../../x.bin"])
def test_paths_that_leave_the_root_are_refused(scans: ScanIndex, path):
    for field in ("lidar", "labels", "panoptic"):
        with pytest.raises(DataError, match="leads out"):
            dataclasses.replace(scans.records[0], **{field: path})
    with pytest.raises(DataError, match="leads out"):
        dataclasses.replace(scans.records[0].cameras[0], image=path)


def test_a_name_that_no_file_can_have_is_refused(scans: ScanIndex):
    for name in ("a" * 256, "ä" * 128, "a/" * 600 + "b"):
        with pytest.raises(DataError, match="longer than names of files are"):
            dataclasses.replace(scans.records[0], lidar=name)


def test_an_unknown_reader_is_named(scans: ScanIndex):
    with pytest.raises(DataError, match=r"'os'; known: nuscenes"):
        dataclasses.replace(scans, reader="os").read(0)


def test_reading_does_not_import_the_devkit():
    """It takes seconds, and lifts Pillow's limit on the size of images for the whole process."""
    code = "import sys, cmcr.data.batches, cmcr.data.nuscenes; sys.exit('nuscenes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
