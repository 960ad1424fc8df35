from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from cmcr.config import Config, parse_config
from cmcr.errors import ConfigError, WeightsError
from cmcr.plan import Plan
from cmcr.plan_words import looked_up, network_name, recipes, titles
from cmcr.results.published import read_names
from cmcr.tasks.panoptic import PanopticOptions

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "config").glob("*.yaml"))


KITTI = {
    "format": "semantic_kitti",
    "version": "semantic_kitti",
    "root": "/data/kitti",
    "splits": {"train": "train", "validation": "val"},
}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_named(name: str) -> dict[str, Any]:
    return read(next(path for path in CONFIGS if path.name == name))


@pytest.fixture
def toy() -> dict[str, Any]:
    """The default config with one task on one data set, so that other methods can take the place of its own."""
    values = read_named("toy.yaml")
    values["tasks"] = {"segmentation": {"toy_nuscenes": values["tasks"]["segmentation"]["toy_nuscenes"]}}
    return values


def changed(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(values)
    *groups, last = key.split(".")
    group = values
    for name in groups:
        group = group[name]
    if value is None:
        del group[last]
    else:
        group[last] = value
    return values


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_is_a_plan(path: Path) -> None:
    plan = Plan.of(parse_config(read(path), path.name), path.name)
    assert plan.config.run_name == path.stem
    assert list(plan.labels) == list(plan.config.methods)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sedes", [0], "sedes: unknown key; did you mean 'seeds'?"),
        ("seeds", None, "seeds: missing key"),
        ("pretrain.recipe.lerning_rate", 1, "pretrain.recipe.lerning_rate: unknown key"),
        ("pretrain.recipe.epoch", 1, "pretrain.recipe.epoch: unknown key; did you mean 'epochs'?"),
        ("pretrain.recipe.lr", "fast", "pretrain.recipe.lr: .*, found 'fast'"),
        ("teacher.out_channel", 3, "teacher.out_channel: unknown key; did you mean 'out_channels'?"),
        ("teacher.kind", "vgg", "teacher: .*'small', 'resnet50', 'dinov2'"),
        ("tasks.segmentation.toy_nuscenes.finetune.label_percent", [1], "did you mean 'label_percents'?"),
        (
            "tasks.segmentation.toy_nuscenes.finetune.label_percents",
            [0, 1],
            "label_percents.0: .*greater than 0, found 0",
        ),
        ("tasks.segmentation.toy_nuscenes.finetune.label_percents", [1, 12.3456789], "at most six digits"),
        (
            "tasks.segmentation.toy_nuscenes.finetune.recipe_by_percent",
            {5: {}},
            "5 %, which is not among label_percents",
        ),
        ("tasks.segmentation.toy_nuscenes", {}, "expected linear_probe, finetune or both"),
        ("datasets.toy_nuscenes.splits.validation", "mini_train", "train and validation are both mini_train"),
        ("datasets.toy_nuscenes.version", "v1.0-trainval", "the toy city is made as version v1.0-mini"),
        ("datasets.toy_nuscenes.format", "semantic_kitti", "the toy city is made as version semantic_kitti_mini"),
        ("datasets.toy_nuscenes.toy.train_scenes", 9, "toy.train_scenes: the splits of nuscenes have at most 8"),
        ("datasets.kitti", {**KITTI, "version": "kitti"}, "no data set 'kitti' in SemanticKITTI's format"),
        (
            "datasets.kitti",
            {**KITTI, "splits": {"train": "train", "validation": "validation"}},
            "no split 'validation'",
        ),
        ("tasks.detektion", {}, "tasks.detektion: unknown key"),
        ("datasets.toy_nuscenes.toy.keyframe", 3, "did you mean 'keyframes'?"),
        ("datasets.toy_nuscenes.root", "/data", "either root .* or toy"),
        ("pretrain.dataset", "kitti", "pretrain.dataset names the data set 'kitti'; datasets has toy_nuscenes"),
        ("pretrain.images.crop", {}, "cache_image_features: true needs images.crop: null"),
        ("methods.ppkt.pretrain_dataset", "nuscenes", "describes published weights, and this row has none"),
        ("methods.ppkt.trained_voxels", {}, "trained_voxels describes published weights, and this row has none"),
        ("methods.slidr", {"weights": "a.pt", "recipe": {"epochs": 1}}, "weights are not trained here"),
        ("methods.slidr", {"weights": "a.pt", "options": {"temperature": 1}}, "weights are not trained here"),
        ("methods.slidr", {"weights": "a.pt", "pretrain_dataset": "none"}, "none is for rows without pre-training"),
        ("methods.slidr", {"weights": "a.pt", "trained_voxel": {}}, "did you mean 'trained_voxels'?"),
        ("run_name", "../up", "run_name"),
        ("methods.less", {"ablation_of": "cmrc"}, "less.ablation_of: expected a row .*ppkt.*, found 'cmrc'"),
        ("methods.less", {"ablation_of": "less"}, "less.ablation_of: expected a row .*, found 'less'"),
        ("methods.less", {"ablation_of": "ppkt", "weights": "a.pt"}, "an ablation is trained here"),
        ("methods", {}, "methods"),
    ],
)
def test_a_mistake_names_key_remedy_and_file(toy: dict[str, Any], key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)my.yaml: 1 problem.*{message}"):
        parse_config(changed(toy, key, value), "my.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("methods.ppkt.options", {"temprature": 1}, "methods.ppkt.options: .*did you mean 'temperature'?"),
        ("methods.ppkt.recipe", {"epoch": 1}, "methods.ppkt.recipe: .*did you mean 'epochs'?"),
        ("methods.ppktt", {}, "methods.ppktt: there is no method 'ppktt'; did you mean 'ppkt'?"),
        ("methods.x", {"weights": "a.pt", "plugin": "scratch"}, "methods.x: weights for scratch, which does not pre-"),
        ("plugin_dirs", ["no/such/folder"], "plugin_dirs: no/such/folder: no such folder"),
        (
            "tasks.segmentation.toy_nuscenes.finetune.recipe_without_pretraining",
            {"lerning_rate": 1},
            "tasks.segmentation.toy_nuscenes.finetune.recipe_without_pretraining: .*lerning_rate: unknown key",
        ),
        (
            "tasks.segmentation.toy_nuscenes.finetune.recipe_by_percent",
            {10: {"batchsize": 1}},
            "tasks.segmentation.toy_nuscenes.finetune.recipe_by_percent.10: .*did you mean 'batch_size'?",
        ),
    ],
)
def test_what_the_plan_finds_names_its_place_too(toy: dict[str, Any], key: str, value: Any, message: str) -> None:
    config = parse_config(changed(toy, key, value), "my.yaml")
    with pytest.raises(ConfigError, match=f"(?s)my.yaml: {message}"):
        Plan.of(config, "my.yaml")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"pretrain.recipe": {"epochs": 1, "batch_size": 4}}, "pretrain.recipe"),
        ({"methods.ppkt.recipe": {"batch_size": 4}}, "methods.ppkt.recipe"),
        ({"{}.linear_probe.recipe": {"epochs": 1, "batch_size": 4}}, "{}.linear_probe.recipe"),
        ({"{}.finetune.recipe": {"epochs": 1, "batch_size": 4}}, "{}.finetune.recipe"),
        ({"{}.finetune.recipe_by_percent": {10: {"batch_size": 4}}}, "{}.finetune.recipe_by_percent.10"),
        ({"{}.finetune.recipe_without_pretraining": {"batch_size": 4}}, "{}.finetune.recipe_without_pretraining"),
        ({}, None),
    ],
)
def test_a_batch_that_devices_cannot_share_is_refused_at_its_place(
    toy: dict[str, Any], changes: dict[str, Any], place: str | None
) -> None:
    task = "tasks.segmentation.toy_nuscenes"
    values = changed(toy, "compute", {"devices": 3})
    for group in ("pretrain", f"{task}.linear_probe", f"{task}.finetune"):
        values = changed(values, f"{group}.recipe", {"epochs": 1, "batch_size": 6})
    for key in ("recipe_by_percent", "recipe_without_pretraining"):
        values = changed(values, f"{task}.finetune.{key}", {})
    values["methods"] = {"scratch": {}, "ppkt": {}}
    for key, value in changes.items():
        values = changed(values, key.format(task), value)
    config = parse_config(values, "my.yaml")
    if place is None:
        plan = Plan.of(config, "my.yaml")
        assert plan.pretrain_job("ppkt", 0).compute.devices == 3
        assert plan.pretrain_job("scratch", 0).compute.devices == 1
        return
    expected = f"my.yaml: {place.format(task)}.batch_size\n  expected: a multiple of 3.*\n  found:    4\n  way out:"
    with pytest.raises(ConfigError, match=expected):
        Plan.of(config, "my.yaml")


def test_recipes_are_merged_from_general_to_special(toy: dict[str, Any]) -> None:
    finetune = "tasks.segmentation.toy_nuscenes.finetune"
    values = changed(toy, f"{finetune}.recipe_by_percent", {1: {"epochs": 77, "lr": 0.5}})
    values = changed(values, f"{finetune}.recipe_without_pretraining", {"lr": 0.05})
    values = changed(values, f"{finetune}.batch_norm_momentum", 0.02)
    values = changed(values, "methods.ppkt.recipe", {"epochs": 9})
    plan = Plan.of(parse_config(values, "my.yaml"), "my.yaml")
    jobs = {(run.method, run.protocol, run.percent): plan.finetune_job(run) for run in plan.runs() if run.seed == 0}
    assert (jobs["ppkt", "finetune", 1].recipe.epochs, jobs["ppkt", "finetune", 1].recipe.lr) == (77, 0.5)
    assert (jobs["scratch", "finetune", 1].recipe.epochs, jobs["scratch", "finetune", 1].recipe.lr) == (77, 0.05)
    assert jobs["ppkt", "finetune", 100].recipe.epochs != 77
    assert jobs["ppkt", "finetune", 100].backbone.batch_norm_momentum == 0.02
    assert jobs["ppkt", "linear_probe", 100].backbone.batch_norm_momentum == 0.05
    assert jobs["scratch", "finetune", 1].pretrain_dataset == "none"
    assert jobs["scratch", "linear_probe", 100].batch_norm == ("stored", "recalibrated")
    assert plan.pretrain_job("ppkt", 0).recipe.epochs == 9
    assert plan.pretrain_job("shuffled_pairs", 0).recipe.epochs != 9


def test_each_task_has_its_runs_and_its_own_options(toy: dict[str, Any]) -> None:
    finetune = {"label_percents": [100], "recipe": {"epochs": 1, "batch_size": 1}}
    panoptic = {"toy_nuscenes": {"finetune": finetune, "options": {"reach_m": 2.5, "head": {"channels": 8}}}}
    plan = Plan.of(parse_config(changed(toy, "tasks.panoptic", panoptic), "my.yaml"), "my.yaml")
    jobs = [plan.finetune_job(run) for run in plan.runs()]
    assert {(job.task, job.protocol) for job in jobs} == {
        ("segmentation", "linear_probe"),
        ("segmentation", "finetune"),
        ("panoptic", "finetune"),
    }
    for job in jobs:
        if job.task == "segmentation":
            assert job.options == {}
        else:
            assert (job.options["reach_m"], job.options["head"]["channels"]) == (2.5, 8)
            assert job.options["min_points"] is None  # the format's own, which the job's index will tell
            assert PanopticOptions.model_validate(job.options).nms_kernel == 5
    with pytest.raises(ConfigError, match=r"did you mean 'reach_m'\?"):
        parse_config(
            changed(toy, "tasks.panoptic", {"toy_nuscenes": {"finetune": finetune, "options": {"reach": 1}}}), "a"
        )


def test_a_look_is_described_like_the_pretraining_it_looks_at(toy: dict[str, Any]) -> None:
    values = changed(toy, "diagnostics", {"scans": 3})
    plan = Plan.of(parse_config(values, "my.yaml"), "my.yaml")
    job, pretraining = plan.diagnose_job("ppkt", 1), plan.pretrain_job("ppkt", 1)
    assert (job.dataset, job.pretrain_dataset, job.toy) == ("toy_nuscenes", "toy_nuscenes", True)
    assert (job.method, job.seed, job.voxels, job.images) == ("ppkt", 1, pretraining.voxels, pretraining.images)
    assert (job.options.scans, job.options.fit_scans) == (3, 20)
    assert plan.diagnose_job("scratch", 1).pretrain_dataset == "none"
    assert parse_config(changed(toy, "diagnostics", None), "my.yaml").diagnostics is None
    without = Plan.of(parse_config(changed(toy, "diagnostics", None), "my.yaml"), "my.yaml")
    with pytest.raises(ValueError, match="no diagnostics"):
        without.diagnose_job("ppkt", 1)


def test_data_sets_of_pre_training_are_one_id(toy: dict[str, Any]) -> None:
    toy["datasets"] |= {"kitti": KITTI, "rellis": {**KITTI, "version": "rellis_3d"}}

    def config(dataset: Any) -> Config:
        return parse_config(changed(toy, "pretrain.dataset", dataset), "my.yaml")

    assert config(["toy_nuscenes"]) == config("toy_nuscenes")
    both = config(["kitti", "toy_nuscenes"])
    assert (both.pretrain.dataset, both.pretrain.datasets) == ("kitti+toy_nuscenes", ("kitti", "toy_nuscenes"))
    plan = Plan.of(both, "my.yaml")
    assert plan.pretrain_dataset("ppkt") == "kitti+toy_nuscenes"
    assert plan.diagnose_job("ppkt", 0).dataset == "kitti"
    assert not plan.diagnose_job("ppkt", 0).toy
    # Images of some are enough; of none they are not.
    assert Plan.of(config(["rellis", "toy_nuscenes"]), "my.yaml").reasons == {"minkunet": {}}
    assert "rellis has no cameras" in Plan.of(config("rellis"), "my.yaml").reasons["minkunet"]["ppkt"]
    for wrong, message in (
        (["kitti", "kitti"], "each once"),
        ([], "each once"),
        (["kitti", 3], "each once"),
        (["kitti", "gone"], "names the data set 'gone'"),
        ("kitti+", "pretrain.dataset: String should match"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(wrong)


def test_two_rows_may_share_a_plugin(toy: dict[str, Any]) -> None:
    values = changed(
        toy, "methods.ppkt_warm", {"plugin": "ppkt", "label": "PPKT, warm", "options": {"temperature": 1.0}}
    )
    plan = Plan.of(parse_config(values, "my.yaml"), "my.yaml")
    assert plan.labels["ppkt_warm"] == "PPKT, warm"
    assert plan.pretrain_job("ppkt_warm", 0).options["temperature"] == 1.0
    assert plan.pretrain_job("ppkt", 0).options["temperature"] == 0.07


def test_a_config_is_the_same_after_a_round_trip(toy: dict[str, Any]) -> None:
    config = parse_config(toy, "toy.yaml")
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_a_method_without_training_does_not_depend_on_how_others_train(toy: dict[str, Any]) -> None:
    jobs = []
    for epochs in (1, 2):
        plan = Plan.of(parse_config(changed(toy, "pretrain.recipe.epochs", epochs), "my.yaml"), "my.yaml")
        jobs.append((plan.pretrain_job("scratch", 0), plan.pretrain_job("ppkt", 0)))
    assert jobs[0][0] == jobs[1][0]
    assert jobs[0][1] != jobs[1][1]


def test_a_method_may_replace_fields_of_the_augmentation(toy: dict[str, Any]) -> None:
    values = changed(toy, "methods.ppkt.augmentation", {"flip_x": 0, "drop_cuboid": {"enough_pairs": 5}})
    plan = Plan.of(parse_config(values, "my.yaml"), "my.yaml")
    found = plan.pretrain_job("ppkt", 0).augmentation
    assert (found.flip_x, found.flip_y) == (0, 0.5)
    assert found.drop_cuboid is not None
    assert found.drop_cuboid.enough_pairs == 5
    assert plan.pretrain_job("slidr", 0).augmentation.drop_cuboid is None


def test_only_a_method_that_needs_superpixels_depends_on_how_they_are_made(toy: dict[str, Any]) -> None:
    plan = Plan.of(parse_config(changed(toy, "pretrain.superpixels.segments", 99), "my.yaml"), "my.yaml")
    superpixels = plan.pretrain_job("slidr", 0).superpixels
    assert superpixels is not None
    assert superpixels.segments == 99
    assert plan.pretrain_job("ppkt", 0).superpixels is None


def test_a_method_that_does_not_apply_is_not_run_and_says_why(toy: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "voxels_only.py").write_text(
        "from cmcr.pretrain.method import PretrainMethod, Source\n\n"
        "class VoxelsOnly(PretrainMethod):\n"
        "    id, label, source, backbones = 'voxels_only', 'Voxels only', Source(paper='none'), ('voxelnet',)\n"
    )
    values = changed(changed(toy, "methods.voxels_only", {}), "plugin_dirs", [str(tmp_path)])
    plan = Plan.of(parse_config(values, "my.yaml"), "my.yaml")
    assert plan.reasons == {"minkunet": {"voxels_only": "Voxels only is defined for voxelnet, not for minkunet"}}
    assert plan.labels["voxels_only"] == "Voxels only"
    assert {run.method for run in plan.runs()} == set(plan.rows) == set(toy["methods"])


def test_published_weights_are_a_row_that_needs_no_plugin(toy: dict[str, Any]) -> None:
    cylinders = {"kind": "cylindrical", "size_m": 0.1}
    values = changed(toy, "methods.slidr_released", {"weights": "a.pt", "trained_voxels": cylinders})
    finetune = "tasks.segmentation.toy_nuscenes.finetune"
    values = changed(values, f"{finetune}.recipe_without_pretraining", {"lr": 0.123})
    plan = Plan.of(parse_config(values, "my.yaml"), "my.yaml")
    runs = [run for run in plan.runs() if run.method == "slidr_released"]
    assert {run.seed for run in runs} == set(plan.config.seeds)
    assert {run.protocol for run in runs} == {"linear_probe", "finetune"}
    assert {run.pretrain_dataset for run in runs} == {"published"}
    assert all(plan.finetune_job(run).recipe.lr != 0.123 for run in runs)
    job = plan.import_job("slidr_released", 1)
    assert (job.method, job.dataset, job.seed) == ("slidr_released", "published", 1)
    assert (job.backbone, job.voxels) == (plan.config.backbone, plan.config.voxels)
    assert job.trained_voxels is not None
    assert job.trained_voxels.kind == "cylindrical"


def test_published_weights_keep_apart_from_our_own_training_in_print(toy: dict[str, Any]) -> None:
    rows = {
        "bare": {"weights": "a.pt"},
        "ours": {"weights": "a.pt", "plugin": "ppkt"},
        "named": {"weights": "a.pt", "label": "SLidR (released)", "pretrain_dataset": "nuscenes"},
    }
    plan = Plan.of(parse_config(changed(toy, "methods", {"ppkt": {}, **rows}), "my.yaml"), "my.yaml")
    assert list(plan.labels.values()) == ["PPKT", "bare", "PPKT (published)", "SLidR (released)"]
    assert plan.pretrain_dataset("named") == "nuscenes"


def test_a_missing_weight_file_names_its_row(toy: dict[str, Any], tmp_path: Path) -> None:
    here = tmp_path / "here.pt"
    here.touch()
    rows = {"one": {"weights": str(here)}, "two": {"weights": str(tmp_path / "gone.pt")}, "ppkt": {}}
    plan = Plan.of(parse_config(changed(toy, "methods", rows), "my.yaml"), "my.yaml")
    with pytest.raises(
        WeightsError, match=r"(?s)gone\.pt: no such file \(config key methods\.two\.weights\).*way out:"
    ):
        plan.weight_files()
    (tmp_path / "gone.pt").touch()
    assert plan.weight_files() == {"one": here, "two": tmp_path / "gone.pt"}


def test_the_full_toy_run_has_every_job_of_the_default_one() -> None:
    toy, full = (Plan.of(parse_config(read_named(name), name), name) for name in ("toy.yaml", "toy_full.yaml"))
    assert {name: toy.config.datasets[name] for name in toy.config.datasets}.items() <= full.config.datasets.items()
    assert set(toy.runs()) <= set(full.runs())
    for run in toy.runs():
        assert toy.finetune_job(run) == full.finetune_job(run)
        assert toy.pretrain_job(run.method, run.seed) == full.pretrain_job(run.method, run.seed)
    for key in ("teacher", "teacher_recipe", "pretrain", "diagnostics"):
        assert getattr(toy.config, key) == getattr(full.config, key)


def test_an_ablation_starts_from_its_row_and_is_not_compared(toy: dict[str, Any]) -> None:
    whole = {"options": {"num_pairs": 64, "masks": {"ratio": 0.25}}, "recipe": {"epochs": 2}}
    less = {"ablation_of": "cmcr", "options": {"codebook": None, "masks": {"probability": 0}}, "recipe": {"lr": 0.5}}
    config = parse_config(changed(toy, "methods", {"less": less, "ppkt": {}, "cmcr": whole}), "test")
    plan = Plan.of(config, "test")
    assert plan.classes["less"].id == "cmcr"
    job = plan.pretrain_job("less", 0)
    assert (job.options["num_pairs"], job.options["codebook"]) == (64, None)
    assert (job.options["masks"]["ratio"], job.options["masks"]["probability"]) == (0.25, 0)
    assert (job.recipe.epochs, job.recipe.lr) == (2, 0.5)
    assert plan.pretrain_job("cmcr", 0).options["masks"]["probability"] == 0.5
    assert plan.compared == {"ppkt": "PPKT", "cmcr": "CMCR"}
    assert plan.labels["less"] == "less"
    assert titles(plan) == {"less": "CMCR: less", "ppkt": "PPKT", "cmcr": "CMCR"}
    assert plan.ablations == {"cmcr": ["less", "cmcr"]}
    assert parse_config(config.model_dump(mode="json"), "again") == config


def test_only_semantic_kitti_itself_has_a_camera_in_its_format(toy: dict[str, Any]) -> None:
    for version, expected in (("semantic_kitti", True), ("scribble_kitti", True), ("semantic_poss", False)):
        values = changed(toy, "datasets.kitti", {**KITTI, "version": version})
        assert parse_config(values, "toy.yaml").datasets["kitti"].has_cameras is expected


def test_rows_are_looked_up_in_published_tables_by_data_alone() -> None:
    values = read(next(path for path in CONFIGS if path.name == "paper.yaml"))
    values = changed(values, "methods.slidr", {"label": "SLidR (ours)", "published_as": "SLidR"})
    plan = Plan.of(parse_config(values, "paper"), "paper")
    found = {row: (method.label, method.published_as, method.teacher) for row, method in looked_up(plan).items()}
    assert found["slidr"] == ("SLidR (ours)", "SLidR", "resnet50")
    assert found["ppkt"] == ("PPKT", None, "resnet50")
    assert found["scratch"] == ("Scratch", None, "none")
    # The recipes of the SLidR family run the network of its tables, by the name that the table of names has for it.
    names = read_names(CONFIGS[0].parents[1] / "results" / "reference" / "names.csv")
    assert names["network", network_name(plan, "segmentation")] == ("MinkUNet34",)
    smaller = changed(values, "backbone", {"planes": [32] * 8})
    assert ("network", network_name(Plan.of(parse_config(smaller, "paper"), "paper"), "segmentation")) not in names


def test_a_task_can_name_its_methods(toy: dict[str, Any]) -> None:
    probe = {"linear_probe": {"recipe": {"epochs": 1, "batch_size": 1}}}
    tasks = {"segmentation": {"toy_nuscenes": probe | {"methods": ["ppkt"]}, "toy_semantic_kitti": probe}}
    plan = Plan.of(parse_config(changed(toy, "tasks", tasks), "test"), "test")
    assert {run.method for run in plan.runs() if run.dataset == "toy_nuscenes"} == {"ppkt"}
    assert list(plan.compared_on("segmentation", "toy_nuscenes")) == ["ppkt"]
    assert plan.compared_on("segmentation") == plan.compared
    assert plan.compared_on("panoptic") == {}
    tasks["segmentation"]["toy_nuscenes"]["methods"] = ["pkpt"]
    with pytest.raises(ConfigError, match=r"segmentation\.toy_nuscenes\.methods names 'pkpt'"):
        parse_config(changed(toy, "tasks", tasks), "test")


def test_what_cannot_be_had_is_not_run() -> None:
    config = parse_config(read_named("toy.yaml"), "test")
    plan = Plan.of(config, "test", {"toy_semantic_kitti": "lost"})
    assert {run.dataset for run in plan.runs()} == {"toy_nuscenes", "toy_kitti"}
    ((name, absent),) = plan.absent_columns("segmentation").items()
    assert (name, absent.reason, absent.settings[0]) == ("toy_semantic_kitti", "lost", ("finetune", 1.0))
    with pytest.raises(ConfigError, match=r"pretrain\.dataset: toy_nuscenes cannot be had here: lost"):
        Plan.of(config, "test", {"toy_nuscenes": "lost"})


def test_only_waymo_has_second_returns(toy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="second_return is for the format waymo"):
        parse_config(changed(toy, "datasets.toy_nuscenes.second_return", True), "test")


def test_recipes_in_words_name_what_a_share_and_a_lack_of_pre_training_change(toy: dict[str, Any]) -> None:
    where = "tasks.segmentation.toy_nuscenes.finetune.recipe_without_pretraining"
    plan = Plan.of(parse_config(changed(toy, where, {"lr": 0.1, "head_lr": None}), "test"), "test")
    assert recipes(plan, "panoptic") == {}
    assert recipes(plan, "segmentation")["toy_nuscenes"] == (
        "linear probe 10 epochs, batch 8, adamw, lr 0.05, cosine; "
        "fine-tuning 2 epochs, batch 1, adamw, lr 0.002 (head 0.02), one cycle; 1 %: epochs 60; 10 %: epochs 12; "
        "without pre-training: lr 0.1, head_lr None"
    )
