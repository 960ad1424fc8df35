"""The descriptions of SemanticKITTI and its relatives: official ids, and no id in doubt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmcr.data.releases import FOLDER, UNKNOWN, layout_of, load_release, release_names, release_of
from cmcr.errors import ConfigError, DataError

#: learning_map of PRBonn/semantic-kitti-api, config/semantic-kitti.yaml.
OFFICIAL = {
    0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11, 49: 12,
    50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0, 252: 1, 253: 7, 254: 6, 255: 8,
    256: 5, 257: 5, 258: 4, 259: 5,
}  # fmt: skip
#: learning_map_inv of the same file.
OFFICIAL_INVERSE = [0, 10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81]


@pytest.mark.parametrize("version", ["semantic_kitti", "semantic_kitti_mini", "scribble_kitti"])
def test_semantic_kittis_map_is_the_official_one(version: str) -> None:
    release = load_release(version)
    assert {number: int(release.table[number]) for number in OFFICIAL} == OFFICIAL
    assert (release.table != UNKNOWN).sum() == len(OFFICIAL)
    assert release.id_of_class.tolist() == OFFICIAL_INVERSE
    assert release.class_names[6:9] == ("person", "bicyclist", "motorcyclist")


def test_semantic_kittis_splits_are_the_official_ones() -> None:
    splits = {name: [int(scene) for scene in scenes] for name, scenes in load_release("semantic_kitti").splits.items()}
    assert splits == {"train": [0, 1, 2, 3, 4, 5, 6, 7, 9, 10], "val": [8], "test": list(range(11, 22))}


def test_other_maps() -> None:
    poss, daps = load_release("semantic_poss"), load_release("daps_1")
    # Raw ids as PolarMix' and CoSMix' loaders map them, and subake/DAPS3D, cfgs/label_params.yml.
    assert poss.table[[4, 5, 6, 7, 12, 13, 21, 22]].tolist() == [1, 1, 2, 3, 6, 7, 12, 13]
    assert daps.table[[0, 10, 30, 40, 50, 70, 72, 259]].tolist() == [0, 1, 2, 3, 4, 4, 3, 1]
    # The same annotation, counted in fewer classes.
    assert set(np.flatnonzero(daps.table != UNKNOWN)) == set(OFFICIAL)
    assert [len(load_release(name).class_names) - 1 for name in ("rellis_3d", "synlidar", "synth4d_kitti")] == [
        19,
        19,
        7,
    ]
    assert load_release("synlidar").class_names == load_release("semantic_kitti").class_names


@pytest.mark.parametrize("version", release_names())
def test_every_description_is_whole(version: str) -> None:
    release = load_release(version)
    assert release.id_of_class.tolist() == [next(iter(ids)) for ids in release.classes.values()]
    np.testing.assert_array_equal(release.table[release.id_of_class], np.arange(len(release.class_names)))
    scenes = [scene for split in release.splits.values() if not isinstance(split, str) for scene in split]
    assert len(scenes) == len(set(scenes)), "a scene is in two splits"
    assert release.splits.keys() >= {"train", "val"} or release.splits.keys() >= {"mini_train", "mini_val"}


def test_a_split_is_made_of_folders_or_of_a_list() -> None:
    folders = load_release("scribble_kitti").folders("train")
    assert folders[:3] == [f"sequences/00/{name}" for name in ("velodyne", "scribbles", "image_2")]
    assert load_release("semantic_stf").folders("val") == ["val/velodyne", "val/labels"]
    assert load_release("rellis_3d").folders("val") == ["pt_val.lst"]


def own(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_of_ones_own_describes_a_data_set(tmp_path: Path) -> None:
    version = own(tmp_path, "based_on: semantic_poss\ntitle: Mine\nsplits: {train: ['09'], val: ['08']}\n")
    release = load_release(version)
    assert (release.title, release.splits["train"], release.table[22]) == ("Mine", ("09",), 13)
    assert release_of(layout_of(version)) is release


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "the description of a data set"),
        ("based_on: semantic_poss\ntitel: Mine", "titel: unknown key; did you mean 'title'"),
        ("based_on: semantic_poss\nclasses: {ignore: {0: a}, car: {1: b}, bus: {1: c}}", "id 1 belongs to two classes"),
        ("based_on: semantic_poss\nclasses: {ignore: {0: a}, car: {40000: b}}", "ids from 0 to 32767"),
        ("based_on: semantic_poss\nclasses: {car: {1: b}, ignore: {0: a}}", "the first to be 'ignore'"),
        ("based_on: semantic_poss\nthings: [tank]", "tank is no class"),
        ("{", "YAML"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_release(own(tmp_path, text))


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"one of daps_1, .* synth4d_nuscenes"):
        load_release("kitti")
    with pytest.raises(DataError, match="another description of semantic_kitti"):
        release_of("semantic_kitti@00000000")
    with pytest.raises(DataError):
        release_of(None)


def test_the_descriptions_are_shipped() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["cmcr"]
    shipped = {path for pattern in patterns for path in FOLDER.parents[1].glob(pattern)}
    assert sorted(path.stem for path in shipped if path.suffix == ".yaml") == release_names()


@pytest.mark.parametrize("version", release_names())
def test_the_page_of_data_sets_has_every_class(version: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert f"`{version}`" in page
    for number, (name, ids) in enumerate(load_release(version).classes.items()):
        row = f"| {number} {name} | {', '.join(f'{raw} {annotated}' for raw, annotated in ids.items())} |"
        assert row in page
