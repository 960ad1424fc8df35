"""Label subsets: the field's rule, nesting, and files that cannot be changed unnoticed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.data.index import ScanIndex
from cmcr.data.scan_record import ScanRecord
from cmcr.data.subsets import Subset, evenly_spread, make_subset
from cmcr.errors import ConfigError, DataError


def make_index(scenes: int, scans: int = 20) -> ScanIndex:
    """An index of scans that need no files."""
    records = tuple(
        ScanRecord(f"t{s:03}_{i:02}", f"scene-{s:04}", i, "x.bin", 20, None, None, None, None, (), ())
        for s in range(scenes)
        for i in range(scans)
    )
    return ScanIndex("toy", "nuscenes", Path("/data"), "train", "v1.0-mini", ("ignore", "car"), (1,), records)


INDEX = make_index(8)


@pytest.mark.parametrize(("percent", "step"), [(1, 100), (5, 20), (10, 10), (25, 4), (50, 2), (100, 1)])
@pytest.mark.parametrize("number", [700, 850, 19_130])
def test_a_share_of_one_in_k_is_every_kth(percent, step, number):
    """SemanticKITTI: ``scans[::k]``. nuScenes: scenes are counted, and taken where k divides the count."""
    assert evenly_spread(number, percent, first=True) == list(range(0, number, step))
    counted = [place for place in range(number) if (place + 1) % step == 0]
    assert evenly_spread(number, percent, first=False) == counted


def test_one_percent_of_nuscenes_is_the_hundredth_scene_and_so_on():
    subset = make_subset(make_index(700, 2), 1, "scene")
    assert len(subset.tokens) == 7 * 2
    assert sorted({token[:4] for token in subset.tokens}) == ["t099", "t199", "t299", "t399", "t499", "t599", "t699"]


def test_other_shares_are_spread_evenly():
    assert evenly_spread(10, 30, first=True) == [0, 3, 6]
    assert evenly_spread(8, 75, first=True) == [0, 1, 2, 4, 5, 6]
    assert evenly_spread(10, 40, first=True) == [0, 2, 5, 7]


@pytest.mark.parametrize(("percent", "number", "expected"), [(33.3, 6, 2), (33.34, 6, 2), (14.3, 7, 1), (16.7, 6, 1)])
def test_rounded_percentages_mean_a_whole_k(percent, number, expected):
    assert len(evenly_spread(number, percent, first=True)) == expected


@given(number=st.integers(1, 2000), percent=st.integers(1, 1000).map(lambda tenths: tenths / 10), first=st.booleans())
def test_the_number_of_places_is_the_share_rounded(number, percent, first):
    places = evenly_spread(number, percent, first=first)
    assert places == sorted(set(places))
    share = number * percent / 100
    if places:
        assert (places[0] == 0) if first else (number - 1 in places or share % 1)
        low, high = (share * 0.997, share * 1.003 + 1) if first else (share * 0.997 - 1, share * 1.003)
        assert low - 1e-9 <= len(places) <= high + 1e-9
    else:
        assert share < 1.003


@given(
    number=st.integers(1, 2000),
    percent=st.sampled_from([1, 2, 5, 10, 12.5, 20, 25]),
    times=st.integers(1, 8),
    first=st.booleans(),
)
def test_subsets_nest_where_one_share_is_a_multiple_of_the_other(number, percent, times, first):
    if percent * times <= 100:
        small, large = (set(evenly_spread(number, share, first=first)) for share in (percent, percent * times))
        assert small <= large


def test_scenes_are_taken_whole_and_scans_one_by_one():
    by_scene, by_scan = make_subset(INDEX, 12.5, "scene"), make_subset(INDEX, 12.5, "scan")
    assert by_scene.tokens == tuple(record.token for record in INDEX.records[-20:])
    assert by_scan.tokens == tuple(record.token for record in INDEX.records[::8])
    assert by_scene.true_percent == by_scan.true_percent == 12.5
    assert make_subset(INDEX, 40, "scene").true_percent == 37.5  # 3 of 8 scenes


@pytest.mark.parametrize("rule", ["scene", "scan"])
def test_all_is_all(rule):
    assert make_subset(INDEX, 100, rule).positions_in(INDEX) == list(range(160))


@pytest.mark.parametrize(
    ("rule", "percent", "smallest"), [("scene", 12.4, 12.5), ("scene", 1, 12.5), ("scan", 0.62, 0.625)]
)
def test_a_share_of_less_than_one_names_the_smallest(rule, percent, smallest):
    with pytest.raises(ConfigError, match=rf"of \d+ {rule}s[\s\S]*  {smallest} % or more"):
        make_subset(INDEX, percent, rule)
    assert make_subset(INDEX, smallest, rule).tokens


@pytest.mark.parametrize("scenes", [3, 6, 7, 9, 11, 13, 28])
def test_the_smallest_share_that_is_named_gives_one_scene(scenes):
    with pytest.raises(ConfigError) as caught:
        make_subset(make_index(scenes), 0.1, "scene")
    named = float(str(caught.value).split("way out:")[1].split("%")[0])
    assert len(make_subset(make_index(scenes), named, "scene").tokens) == 20


@pytest.mark.parametrize("percent", [0, -1, 100.5, float("nan"), float("inf")])
def test_impossible_shares_are_refused(percent):
    with pytest.raises(ConfigError, match="more than 0, at most 100"):
        make_subset(INDEX, percent, "scan")


def test_a_file_gives_the_same_subset_back(tmp_path):
    subset = make_subset(INDEX, 25, "scene")
    subset.save(tmp_path / "subset.txt")
    loaded = Subset.load(tmp_path / "subset.txt")
    assert loaded == subset
    assert loaded.checksum == subset.checksum
    assert [INDEX.records[position].token for position in loaded.positions_in(INDEX)] == list(subset.tokens)
    loaded.save(tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "subset.txt").read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [("t003_00\n", ""), ("t003_00", "t005_00"), ("percent: 25", "percent: 10"), ("t003_19\n", "t003_19\nt005_00\n"),
     ("rule: scene", "rule: scan")],
)  # fmt: skip
def test_an_edited_file_is_refused(tmp_path, old, new):
    path = tmp_path / "subset.txt"
    make_subset(INDEX, 25, "scene").save(path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=r"subset\.txt[\s\S]*damaged or edited"):
        Subset.load(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "No such file"), (b"", "empty file"), (b"t000_00\n", "t000_00"), (b"\xff\xfe\x00", "UTF-8"),
     (b"# cmcr label subset, version 2\n", "version 2"), (b"# cmcr label subset, version 1\n", "dataset")],
)  # fmt: skip
def test_another_kind_of_file_is_refused(tmp_path, content, found):
    path = tmp_path / "subset.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"subset\.txt[\s\S]*expected[\s\S]*found[\s\S]*{found}"):
        Subset.load(path)


def test_a_subset_of_another_index_is_refused():
    other = dataclasses.replace(INDEX, records=INDEX.records[:-1], checksum="")
    with pytest.raises(DataError, match="another index"):
        make_subset(INDEX, 25, "scene").positions_in(other)


def test_scans_without_labels_are_passed_over() -> None:
    records = tuple(
        dataclasses.replace(record, labels="x.label" if place % 2 else None)
        for place, record in enumerate(make_index(2, 4).records)
    )
    index = dataclasses.replace(INDEX, records=records, checksum="")
    subset = make_subset(index, 100, "scan")
    assert subset.tokens == ("t000_01", "t000_03", "t001_01", "t001_03")
    assert subset.true_percent == 100
    assert make_subset(index, 50, "scan").tokens == ("t000_01", "t001_01")
    assert make_subset(index, 50, "scene").tokens == ("t001_01", "t001_03")
