from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from skeleton import write_skeleton

from cmcr.config import parse_config
from cmcr.errors import MissingError
from cmcr.missing import as_text, find_missing, refuse_missing
from cmcr.plan import Plan

ROOT = Path(__file__).resolve().parents[1]


def plan_of(name: str, absent: dict[str, str] | None = None, **changes: Any) -> Plan:
    values = yaml.safe_load((ROOT / "config" / name).read_text())
    return Plan.of(parse_config({**values, **changes}, name), name, absent)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_keys_and_their_users_are_named_in_the_order_of_the_config() -> None:
    missing = {entry.key: entry for entry in find_missing(plan_of("paper.yaml"))}
    datasets = list(plan_of("paper.yaml").config.datasets)
    keys = [f"datasets.{name}.{'tfrecords' if name == 'waymo' else 'root'}" for name in datasets]
    assert list(missing) == [*keys, "teacher.weights"]
    everything = ("pre-training (and so every table)", "tables/segmentation", "tables/panoptic")
    assert missing["datasets.nuscenes.root"].needed_by == everything
    assert missing["datasets.rellis_3d.root"].needed_by == ("tables/segmentation",)
    assert "data/waymo_converted holds converted segments" in missing["datasets.waymo.tfrecords"].way_out


def test_what_nobody_uses_is_not_missed() -> None:
    missing = find_missing(plan_of("paper.yaml", tasks={}, methods={"also": {}}))
    assert [entry.key for entry in missing] == ["datasets.nuscenes.root", "teacher.weights"]
    assert find_missing(plan_of("paper.yaml", tasks={}, methods={"scratch": {}}))[0].key == "teacher.weights"


def test_a_data_set_that_cannot_be_had_here_is_not_missed_either() -> None:
    keys = [entry.key for entry in find_missing(plan_of("paper.yaml", {"waymo": "for a reason"}))]
    assert not any("waymo" in key for key in keys)
    assert "datasets.synlidar.root" in keys


def test_a_toy_run_misses_nothing() -> None:
    refuse_missing(plan_of("smoke.yaml"), "smoke.yaml")


def test_published_weights_and_a_folder_of_weights_are_looked_for(folder: Path) -> None:
    (folder / "vit").mkdir()
    (folder / "vit" / "config.json").touch()
    plan = plan_of(
        "smoke.yaml",
        methods={"released": {"weights": "gone.pt", "label": "Released"}},
        teacher={"kind": "dinov2", "weights": "vit"},
        diagnostics=None,
    )
    teacher, weights = find_missing(plan)
    assert (teacher.path, teacher.key) == (Path("vit/model.safetensors"), "teacher.weights")
    assert (weights.path, weights.key) == (Path("gone.pt"), "methods.released.weights")
    assert weights.needed_by == ("row Released of every table",)


def test_everything_is_one_message(folder: Path) -> None:
    plan = plan_of("paper.yaml")
    with pytest.raises(MissingError) as error:
        refuse_missing(plan, "my.yaml")
    assert str(error.value) == as_text(find_missing(plan), "my.yaml")
    first, *_ = str(error.value).splitlines()
    assert first == f"my.yaml: what this run needs and does not find; relative paths count from {folder}"
    write_skeleton(plan, folder)
    refuse_missing(plan, "my.yaml")
    for name in ("lidarseg", "panoptic"):
        (folder / f"data/nuscenes/v1.0-trainval/{name}.json").unlink()
    lidarseg, panoptic = find_missing(plan)
    assert lidarseg.needed_by == ("tables/segmentation",)
    assert panoptic.needed_by == ("tables/panoptic",)
    assert "nuScenes-panoptic" in panoptic.way_out
