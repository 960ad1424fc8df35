"""The toy city's files: same bytes whatever the order, and clear errors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene
from cmcr.errors import ConfigError, DataError
from cmcr.files import write_json

SMALL = ToyCityOptions(train_scenes=1, validation_scenes=1, keyframes=2, image_size=(28, 50), azimuth_steps=32)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make(folder: Path, scenes: tuple[str, ...], options: ToyCityOptions = SMALL) -> Path:
    parts = [folder / "parts" / f"{scene}.json" for scene in scenes]
    for scene, part in zip(scenes, parts, strict=True):
        write_scene(options, scene, folder / "root", part)
    join_scenes(parts, folder / "root")
    return folder / "root"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("city"), SMALL.scene_names())


def test_same_options_same_bytes_in_any_order(small: Path, tmp_path: Path) -> None:
    again = make(tmp_path, SMALL.scene_names()[::-1])
    assert digests(again) == digests(small)
    assert len(digests(small)) == 2 * 2 * (7 + 2) + 2 + 15


def test_a_scene_does_not_depend_on_the_others(small: Path, tmp_path: Path) -> None:
    alone = digests(make(tmp_path, SMALL.scene_names()[:1]))
    together = digests(small)
    files = [name for name in alone if not name.startswith("v1.0-mini")]
    assert files
    assert all(alone[name] == together[name] for name in files)


def test_another_seed_draws_another_city(small: Path, tmp_path: Path) -> None:
    other = make(tmp_path, SMALL.scene_names()[:1], SMALL.model_copy(update={"seed": 1}))
    assert not set(digests(other).values()) & {v for k, v in digests(small).items() if k.startswith("samples")}


def test_scenes_are_those_of_the_devkits_splits() -> None:
    from nuscenes.utils.splits import mini_train, mini_val

    names = ToyCityOptions().scene_names()
    assert list(names) == sorted(mini_train) + sorted(mini_val)
    assert ToyCityOptions(train_scenes=2, validation_scenes=1).scene_names() == (
        "scene-0061",
        "scene-0553",
        "scene-0103",
    )


def test_sizes_out_of_range_are_refused() -> None:
    for wrong in ({"train_scenes": 0}, {"validation_scenes": 0}, {"keyframes": 0}, {"colour": "red"}):
        with pytest.raises(ValidationError):
            ToyCityOptions(**wrong)
    with pytest.raises(ConfigError, match="at most 8, found 9"):
        ToyCityOptions(train_scenes=9).scene_names()


def test_an_unknown_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scene-0001"):
        write_scene(SMALL, "scene-0001", tmp_path, tmp_path / "part.json")


def test_leftovers_of_a_killed_run_and_of_a_larger_city_go(tmp_path: Path) -> None:
    root = make(tmp_path, SMALL.scene_names())
    (root / "lidarseg" / "v1.0-mini" / ".abc_lidarseg.bin.x1.part.bin").write_bytes(b"half")
    join_scenes([tmp_path / "parts" / f"{SMALL.scene_names()[0]}.json"], root)
    for table in ("lidarseg", "panoptic"):
        assert len(list((root / table / "v1.0-mini").iterdir())) == SMALL.keyframes


def test_another_data_set_is_left_alone(tmp_path: Path) -> None:
    write_json(
        tmp_path / "v1.0-mini" / "scene.json", [{"name": "scene-0061", "description": "Parked truck, turn left"}]
    )
    with pytest.raises(DataError, match="another folder"):
        write_scene(SMALL, "scene-0061", tmp_path, tmp_path / "part.json")
    with pytest.raises(DataError, match="another folder"):
        join_scenes([], tmp_path)
    for content in ("{", "3", '[{"name": "scene-0061"}]'):
        (tmp_path / "v1.0-mini" / "scene.json").write_text(content)
        with pytest.raises(DataError, match=r"a scene\.json that holds no scenes"):
            join_scenes([], tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_broken_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text("{")
    with pytest.raises(DataError, match=r"part\.json"):
        join_scenes([tmp_path / "part.json"], tmp_path)
    (tmp_path / "part.json").write_text("{}")
    with pytest.raises(DataError, match=r"part\.json"):
        join_scenes([tmp_path / "part.json"], tmp_path)
