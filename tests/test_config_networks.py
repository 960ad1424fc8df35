"""Runs with two 3D networks: what a config says of them, and what a plan makes of that."""

from __future__ import annotations

from typing import Any

import pytest
from test_config import changed, read_named

from cmcr.config import parse_config
from cmcr.costs import count_jobs
from cmcr.data.range_grid import RangeGrid
from cmcr.errors import ConfigError
from cmcr.models.voxelnet import VoxelNetOptions
from cmcr.plan import Plan
from cmcr.plan_words import detectors, network_name, recipes

NUSCENES = {
    "toy": {},
    "version": "v1.0-mini",
    "splits": {"train": "mini_train", "validation": "mini_val"},
}
FINER = {"bounds_m": [0, -16, -3, 32, 16, 1], "cell_m": [0.2, 0.2, 0.1]}


@pytest.fixture
def values() -> dict[str, Any]:
    """Segmentation on the toy city, detection on the toy city as KITTI's object benchmark."""
    found, recipe = read_named("toy.yaml"), {"epochs": 2, "batch_size": 4}
    found["tasks"] = {
        "segmentation": {"toy_nuscenes": found["tasks"]["segmentation"]["toy_nuscenes"]},
        "detection": {"toy_kitti": {"finetune": {"label_percents": [5, 100], "recipe": recipe}}},
    }
    found["datasets"] = {
        "toy_nuscenes": found["datasets"]["toy_nuscenes"],
        "toy_kitti": {
            "format": "kitti",
            "toy": {},
            "version": "training",
            "splits": {"train": "train", "validation": "val"},
        },
    }
    found["methods"] = {"scratch": {}, "ppkt": {"recipe": {"epochs": 7}}, "slidr": {}}
    found["voxelnet"] = {
        "network": {"channels": [8, 8, 16, 16], "top": 16},
        "grid": {"bounds_m": [-32, -32, -5, 32, 32, 3], "cell_m": [0.4, 0.4, 0.2]},
        "recipe": {"epochs": 5, "lr": 0.5},
        "augmentation": {"flip_x": 0},
    }
    return found


def plan_of(values: dict[str, Any]) -> Plan:
    return Plan.of(parse_config(values, "my.yaml"), "my.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("voxelnet", None, r"tasks\.detection stands on a VoxelNet; add the group voxelnet, with its grid at least"),
        ("voxelnet.grid", None, r"voxelnet\.grid: missing key"),
        ("voxelnet.grid.cell_m", [0.4, 0.4, 0.5], "too low for VoxelNet; it needs 24 of them"),
        ("voxelnet.network.chanels", [1], "did you mean 'channels'"),
        ("tasks.detection.toy_kitti.options", {"grid": {**FINER, "cell_m": [0.2, 0.2, 0.4]}}, r"grid: .*too low"),
        ("tasks.detection.toy_kitti.options", {"head": {"kind": "center"}}, "'second', 'centre'"),
        ("tasks.detection.toy_kitti.options", {"head": {"kind": "centre"}}, r"options\.head\.groups: missing key"),
        (
            "tasks.detection.toy_kitti.options",
            {"head": {"kind": "centre", "groups": [[1], [2]]}},
            r"(?s)toy_kitti\.options\.head.*every class in one group.*2 of 3",
        ),
        (
            "tasks.detection.toy_kitti.options",
            {"sampling": {"wanted": {"Bus": 3, "Car": 1}}},
            r"(?s)sampling\.wanted.*Car, Pedestrian, Cyclist.*found:    Bus",
        ),
        ("datasets.toy_kitti", NUSCENES, r"(?s)toy_kitti\.options\.head.*an anchor for each class"),
        (
            "tasks.detection.toy_kitti.linear_probe",
            {"recipe": {"epochs": 1, "batch_size": 1}},
            "detection is fine-tuned only; take linear_probe out",
        ),
        ("tasks.detection.toy_kitti.finetune.augmentation", {"drop_cuboid": {}}, "drop_cuboid would empty boxes"),
        ("datasets.toy_kitti.version", "testing", "the toy city is made as version training"),
        ("datasets.toy_kitti.toy", {"validation_scenes": 11}, "the splits of kitti have at most 10"),
    ],
)
def test_a_mistake_is_named(values: dict[str, Any], key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(changed(values, key, value))


@pytest.mark.parametrize(
    ("group", "message"),
    [("recipe", r"voxelnet\.recipe.*did you mean 'epochs'"), ("augmentation", r"voxelnet\.augmentation.*unknown key")],
)
def test_a_field_that_is_replaced_must_exist(values: dict[str, Any], group: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){message}"):
        plan_of(changed(values, f"voxelnet.{group}", {"epoch": 1}))


def test_each_network_is_pre_trained_in_its_own_way(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    assert plan.networks == ["minkunet", "voxelnet"]
    first, second = (plan.pretrain_job("slidr", 0, network) for network in plan.networks)
    assert (first.backbone, first.voxels) == (plan.config.backbone, plan.config.voxels)
    assert second.backbone == VoxelNetOptions(channels=(8, 8, 16, 16), top=16)
    assert isinstance(second.voxels, RangeGrid)
    assert (second.recipe.epochs, second.recipe.lr, second.augmentation.flip_x) == (5, 0.5, 0)
    assert second.recipe.batch_size == first.recipe.batch_size
    assert (first.augmentation.flip_x, second.augmentation.flip_y) == (0.5, 0.5)
    assert first.superpixels is not None
    assert second.superpixels is not None
    assert (first.superpixels.segments, second.superpixels.segments) == (150, 30)
    # What a method replaces comes last.
    assert plan.pretrain_job("ppkt", 0, "voxelnet").recipe.epochs == 7
    assert plan.pretrain_job("ppkt", 0, "voxelnet").recipe.lr == 0.5
    assert plan.pretrain_job("ppkt", 0) == plan.pretrain_job("ppkt", 0, "minkunet")
    assert plan.pretrain_job("scratch", 0, "voxelnet").recipe.epochs == 1


def test_a_task_is_fine_tuned_on_its_network_and_detection_on_its_own_grid(values: dict[str, Any]) -> None:
    options = {"grid": FINER}
    values = changed(values, "tasks.detection.toy_kitti.options", options)
    values = changed(values, "tasks.detection.toy_kitti.finetune.batch_norm_momentum", 0.25)
    plan = plan_of(values)
    jobs = {run: plan.finetune_job(run) for run in plan.runs() if run.seed == 0}
    assert {run.network for run in jobs if run.task == "segmentation"} == {"minkunet"}
    for run, job in jobs.items():
        assert job.backbone.kind == run.network
        if run.task == "detection":
            assert job.voxels == RangeGrid.model_validate(FINER)
            assert job.backbone.batch_norm_momentum == 0.25
            assert job.augmentation is not None
            assert (job.augmentation.rotation_deg, job.augmentation.scale) == (45, (0.95, 1.05))  # SECOND's
    assert {run.percent for run in jobs if run.task == "detection"} == {5, 100}
    unlike = plan_of(changed(values, "tasks.detection.toy_kitti.options", {}))
    (job, *_) = [unlike.finetune_job(run) for run in unlike.runs() if run.task == "detection"]
    assert unlike.config.voxelnet is not None
    assert job.voxels == unlike.config.voxelnet.grid


def test_a_row_may_apply_to_one_network_alone(values: dict[str, Any], tmp_path: Any) -> None:
    for name, network in (("flat", "voxelnet"), ("deep", "minkunet")):
        (tmp_path / f"{name}.py").write_text(
            "from cmcr.pretrain.method import PretrainMethod, Source\n\n"
            f"class Only(PretrainMethod):\n    id, label, source = '{name}', '{name.title()}', Source(paper='none')\n"
            f"    backbones = ('{network}',)\n"
        )
    values = changed(values, "plugin_dirs", [str(tmp_path)])
    rows = {"flat": {}, "deep": {}, "released": {"weights": "a.pt"}}
    plan = plan_of(changed(values, "methods", {**values["methods"], **rows}))
    assert plan.reasons_for("segmentation") == {"flat": "Flat is defined for voxelnet, not for minkunet"}
    assert plan.reasons_for("detection") == {
        "deep": "Deep is defined for minkunet, not for voxelnet",
        "released": "published weights are those of a minkunet, not of a voxelnet",
    }
    assert plan.rows_on("minkunet") == ["scratch", "ppkt", "slidr", "deep", "released"]
    assert plan.rows_on("voxelnet") == ["scratch", "ppkt", "slidr", "flat"]
    assert plan.rows == ["scratch", "ppkt", "slidr", "flat", "deep", "released"]
    assert plan.trained_on("minkunet") == ["ppkt", "slidr", "deep"]
    assert plan.trained_on("voxelnet") == ["ppkt", "slidr", "flat"]
    found = {(run.task, run.method) for run in plan.runs()}
    assert ("detection", "deep") not in found
    assert ("segmentation", "deep") in found
    assert ("segmentation", "flat") not in found


def test_the_second_network_is_pre_trained_for_the_rows_that_detection_asks_for(values: dict[str, Any]) -> None:
    plan = plan_of(changed(values, "tasks.detection.toy_kitti.methods", ["scratch", "slidr"]))
    assert plan.rows_on("voxelnet") == ["scratch", "slidr"]
    assert plan.rows_on("minkunet") == ["scratch", "ppkt", "slidr"]
    seeds = len(plan.config.seeds)
    counts = count_jobs(plan)
    assert counts["pretrain"] == seeds * 5
    assert counts["segment_images"] == 2 * plan.config.pretrain.superpixel_jobs


def test_without_a_task_of_its_own_a_network_is_not_trained(values: dict[str, Any]) -> None:
    alone = plan_of({**changed(values, "tasks.segmentation", {}), "diagnostics": None})
    assert alone.networks == ["voxelnet"]
    assert alone.rows_on("minkunet") == alone.trained_on("minkunet") == []
    assert count_jobs(alone)["pretrain"] == len(alone.config.seeds) * 3
    # What frozen features hold is asked of the first network, whatever the tasks are.
    assert plan_of(changed(values, "tasks.segmentation", {})).networks == ["minkunet", "voxelnet"]
    without = {name: value for name, value in values.items() if name not in ("tasks", "voxelnet")}
    assert plan_of(without).networks == ["minkunet"]


def test_captions_and_published_tables_know_the_detector(values: dict[str, Any]) -> None:
    plan = plan_of(values)
    assert recipes(plan, "detection")["toy_kitti"].startswith("mAP is the mean over classes of KITTI's AP")
    assert "; SECOND; fine-tuning 2 epochs" in recipes(plan, "detection")["toy_kitti"]
    assert detectors(plan) == {"toy_kitti": "SECOND"}
    assert network_name(plan, "detection") == "voxelnet channels=8,8,16,16 top=16 heights_above=1"
    centre = {"head": {"kind": "centre", "groups": [[1], [2, 3]]}}
    centred = plan_of(changed(values, "tasks.detection.toy_kitti.options", centre))
    assert detectors(centred) == {"toy_kitti": "CenterPoint"}
