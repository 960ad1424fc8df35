"""What a config asks for, as a dry run lists it; nothing is run."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from skeleton import write_skeleton

from cmcr.config import parse_config
from cmcr.plan import Plan

from .conftest import ROOT, Workflow, planned
from .tiny import TINY, TINY_KITTI, WAYMO, with_change, with_waymo


def test_a_dry_run_reads_like_a_plan(workflow: Workflow) -> None:
    output = workflow.run("-n")
    jobs = planned(output)
    assert "Pre-train the small image teacher without labels" in jobs
    assert "Pre-train ppkt, minkunet, seed 0" in jobs
    assert "segmentation on toy_nuscenes: ppkt, linear_probe with 100 % of the labels, seed 0" in jobs
    assert "Diagnose what scratch learned, seed 0" in jobs
    assert "cmcr " not in output  # no shell commands
    assert not (workflow.folder / "results").exists()


def test_a_mistyped_key_stops_before_anything_runs(workflow: Workflow) -> None:
    workflow.configure({**TINY, "sedes": [1]})
    output = workflow.run("-n", fails=True)
    assert "config.yaml: 1 problem(s) in the config" in output
    assert "sedes: unknown key; did you mean 'seeds'?" in output
    assert "Traceback" not in output


def test_a_key_that_stands_twice_stops_before_anything_runs(workflow: Workflow) -> None:
    with (workflow.folder / "config.yaml").open("a") as file:
        file.write("seeds: [1]\n")
    output = workflow.run("all_tables", fails=True)
    assert "config.yaml" in output
    assert "the key 'seeds' twice" in output
    assert not (workflow.folder / "results").exists()


def test_each_fine_tuning_of_a_pre_training_looks_for_its_scans_among_those_that_are_scored(workflow: Workflow) -> None:
    commands = [line for line in workflow.run("-n", "-p", "all_tables").splitlines() if "-m cmcr finetune" in line]
    pretrained = [line for line in commands if '"method":"ppkt"' in line]
    assert pretrained
    assert all("--pretrain-index results/tiny/index/toy_nuscenes/train.jsonl" in line for line in pretrained)


@pytest.mark.parametrize("name", ["smoke.yaml", "toy.yaml", "toy_full.yaml"])
def test_the_groups_of_submissions_fit_every_toy_run(workflow: Workflow, name: str) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    workflow.configure(yaml.safe_load((ROOT / "config" / name).read_text()))
    output = workflow.run("-n", "--profile", str(ROOT / "profiles" / "slurm"), "all_tables", "all_figures")
    assert "Job stats" in output


def test_a_config_file_replaces_the_default_and_single_values_are_merged(workflow: Workflow) -> None:
    # With Snakemake's own merging the default's methods would be run as well.
    output = workflow.run("-n", "--config", "seeds=[7]")
    assert "Pre-train ppkt, minkunet, seed 7" in planned(output)
    assert not any("shuffled_pairs" in job for job in planned(output))


def test_without_a_linear_probe_its_figure_is_not_asked_for(workflow: Workflow) -> None:
    workflow.configure(
        with_change(lambda config: config["tasks"]["segmentation"]["toy_nuscenes"].update(linear_probe=None))
    )
    jobs = planned(workflow.run("-n", "all_figures"))
    assert "Draw the figure label_efficiency of segmentation on toy_nuscenes" in jobs
    assert not any("per_class" in job or "linear_probe" in job for job in jobs)


def test_pictures_and_measures_are_asked_of_methods_whose_options_have_them(workflow: Workflow) -> None:
    rebuilding = {"weights": {"occupancy": 0, "intensity": 0}}
    methods = {
        "scratch": {},
        "ppkt": {},
        "cmcr": {},
        "rebuilding": {"plugin": "cmcr", "options": {"codebook": None, **rebuilding}},
    }
    workflow.configure({**TINY, "methods": methods, "seeds": [0, 1]})
    jobs = planned(workflow.run("-n", "all_figures"))
    never_saw = "on a scan that its pre-training never saw"
    assert {job for job in jobs if job.endswith(("never saw", "of its pre-training"))} == {
        "Draw the losses of ppkt over the steps of its pre-training",
        "Draw the losses of cmcr over the steps of its pre-training",
        "Draw the losses of rebuilding over the steps of its pre-training",
        "Draw the codebook of cmcr over the steps of its pre-training",
        f"Draw the reconstruction of cmcr {never_saw}",
        f"Draw the occupancy of cmcr {never_saw}",
        f"Draw the reconstruction of rebuilding {never_saw}",
        *(
            f"Measure {method}, seed {seed}, on scans that its pre-training never saw"
            for method in ("cmcr", "rebuilding")
            for seed in (0, 1)
        ),
    }


def test_a_toy_semantic_kitti_is_planned_beside_a_toy_nuscenes(workflow: Workflow) -> None:
    workflow.configure({**TINY, "datasets": {**TINY["datasets"], **TINY_KITTI["datasets"]}, **{
        "tasks": {"segmentation": {**TINY["tasks"]["segmentation"], **TINY_KITTI["tasks"]["segmentation"]}}
    }})  # fmt: skip
    jobs = planned(workflow.run("-n"))
    assert {"Render 00 of the toy city", "Render 08 of the toy city", "Render scene-0061 of the toy city"} <= set(jobs)
    assert "Put the toy city's scenes together as toy_kitti" in jobs
    assert "Put the toy city's scenes together as a nuScenes folder" in jobs
    assert "segmentation on toy_kitti: ppkt, finetune with 50 % of the labels, seed 0" in jobs


def test_labels_that_come_later_make_the_index_again(workflow: Workflow) -> None:
    workflow.configure({**TINY_KITTI, "methods": {"also": {}}, "tasks": {}, "diagnostics": None, "datasets": {
        "toy_kitti": {
            "format": "semantic_kitti", "version": "semantic_kitti_mini", "root": str(workflow.folder / "kitti"),
            "splits": {"train": "mini_train", "validation": "mini_val"},
        }
    }})  # fmt: skip
    sequence = workflow.folder / "kitti" / "sequences" / "00"
    index = "results/tiny/index/toy_kitti/train.jsonl"
    (sequence / "velodyne").mkdir(parents=True)
    (sequence / "velodyne" / "000000.bin").write_bytes(bytes(16 * 5))
    workflow.run(index)
    assert planned(workflow.run("-n", index)) == []
    (sequence / "labels").mkdir()
    (sequence / "labels" / "000000.label").write_bytes(bytes(4 * 5))
    assert planned(workflow.run("-n", index)) == ["List the train scans of toy_kitti and check their files"]


def test_only_runs_on_real_data_are_compared_with_published_numbers(workflow: Workflow) -> None:
    comparison = "Write the run's numbers beside published ones"
    assert comparison not in planned(workflow.run("-n"))

    def on_disk(config: dict[str, Any]) -> None:
        config["datasets"]["real"] = {**config["datasets"]["toy_nuscenes"], "root": "real", "toy": None}
        config["tasks"]["segmentation"]["real"] = config["tasks"]["segmentation"]["toy_nuscenes"]

    config = with_change(on_disk)
    write_skeleton(Plan.of(parse_config(config, "config"), "config"), workflow.folder)
    workflow.configure(config)
    assert comparison in planned(workflow.run("-n"))


def test_a_second_task_has_its_own_runs_tables_and_pictures(workflow: Workflow) -> None:
    finetune = {"label_percents": [50, 100], "subset_rule": "scan", "recipe": {"epochs": 1, "batch_size": 1}}
    workflow.configure(
        with_change(lambda config: config["tasks"].update(panoptic={"toy_nuscenes": {"finetune": finetune}}))
    )
    jobs = planned(workflow.run("-n", "all_tables", "all_figures"))
    assert "panoptic on toy_nuscenes: ppkt, finetune with 50 % of the labels, seed 0" in jobs
    assert {"Write the tables of panoptic", "Write the tables of segmentation"} <= set(jobs)
    assert "Draw the figure label_efficiency of panoptic on toy_nuscenes" in jobs
    for method in ("scratch", "ppkt"):
        assert f"Draw the instances that {method} finds on toy_nuscenes" in jobs


def test_the_report_is_made_of_what_the_config_asks_for(workflow: Workflow) -> None:
    jobs = planned(workflow.run("-n", "report"))
    assert jobs.count("Write the report") == jobs.count("Write down what this run was asked to do") == 1
    for needed in ("Gather all scores", "Write the table of diagnostics", "Draw what ppkt learned on toy_nuscenes"):
        assert needed in jobs


def test_diagnostics_can_be_left_out(workflow: Workflow) -> None:
    workflow.configure(with_change(lambda config: config.pop("diagnostics")))
    assert not any("iagnos" in job for job in planned(workflow.run("-n")))


def test_superpixels_are_made_for_a_method_that_needs_them_alone(workflow: Workflow) -> None:
    assert not any("superpixels" in job for job in planned(workflow.run("-n")))

    def add(config: dict[str, Any]) -> None:
        config["methods"]["slidr"] = {}
        config["pretrain"]["superpixel_jobs"] = 3

    workflow.configure(with_change(add))
    jobs = planned(workflow.run("-n"))
    assert (
        sum(
            job.startswith("Cut the training images of toy_nuscenes into superpixels for minkunet, share")
            for job in jobs
        )
        == 3
    )
    assert "Pre-train slidr, minkunet, seed 0" in jobs


def test_a_method_that_does_not_apply_is_left_out_of_the_plan(workflow: Workflow) -> None:
    (workflow.folder / "elsewhere").mkdir()
    (workflow.folder / "elsewhere" / "voxels_only.py").write_text(
        "from baselines.ppkt import PPKT\nfrom cmcr.pretrain.method import Source\n\n"
        "class VoxelsOnly(PPKT):\n"
        "    id, label, source, backbones = 'voxels_only', 'Voxels only', Source(paper='none'), ('voxelnet',)\n"
    )
    change: dict[str, Any] = {"plugin_dirs": ["elsewhere"], "methods": {"voxels_only": {}, **TINY["methods"]}}
    workflow.configure({**TINY, **change})
    jobs = planned(workflow.run("-n", "all_tables", "all_figures"))
    assert any("Pre-train ppkt" in job for job in jobs)
    assert not any("voxels_only" in job for job in jobs)


def test_a_missing_teacher_says_where_to_get_it_before_anything_runs(workflow: Workflow) -> None:
    workflow.configure({**TINY, "teacher": {"kind": "resnet50", "weights": "no/such/file.pth"}})
    output = workflow.run("-n", fails=True)
    assert "no/such/file.pth: no such file (config key teacher.weights)" in output
    assert "MoCo v2: https://" in output


def test_pre_training_on_what_cannot_be_had_is_refused(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", str(workflow.folder / "none"))

    def on_waymo(config: dict[str, Any]) -> None:
        with_waymo(config)
        config["pretrain"]["dataset"] = "toy_waymo"

    workflow.configure(with_change(on_waymo))
    message = workflow.run("-n", fails=True)
    assert "config.yaml: pretrain.dataset: toy_waymo cannot be had here: make waymo-env" in message


def test_real_waymo_without_its_environment_says_what_to_do(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", str(workflow.folder / "none"))

    def real(config: dict[str, Any]) -> None:
        with_waymo(config)
        config["datasets"]["toy_waymo"] = {**WAYMO, "root": "converted", "tfrecords": "records", "toy": None}

    config = with_change(real)
    write_skeleton(Plan.of(parse_config(config, "config"), "config"), workflow.folder)
    workflow.configure(config)
    assert "way out:  make waymo-env" in workflow.run("-n", fails=True)


def test_a_task_runs_the_methods_it_names_alone(workflow: Workflow) -> None:
    def named(config: dict[str, Any]) -> None:
        config["tasks"]["segmentation"]["toy_nuscenes"]["methods"] = ["ppkt"]

    workflow.configure(with_change(named))
    jobs = planned(workflow.run("-n"))
    assert any("ppkt" in job for job in jobs)
    assert not any(job.startswith("Fine-tune") and "scratch" in job for job in jobs)


def test_one_table_needs_the_runs_that_it_shows_alone(workflow: Workflow) -> None:
    def two_tasks(config: dict[str, Any]) -> None:
        finetune = config["tasks"]["segmentation"]["toy_nuscenes"]["finetune"]
        config["tasks"]["panoptic"] = {"toy_nuscenes": {"finetune": finetune}}

    workflow.configure(with_change(two_tasks))
    jobs = planned(workflow.run("-n", "results/tiny/tables/panoptic.md"))
    assert "Gather all scores of panoptic on toy_nuscenes" in jobs
    assert "panoptic on toy_nuscenes: ppkt, finetune with 50 % of the labels, seed 0" in jobs
    assert not any(job.startswith("segmentation") or job == "Gather all scores" for job in jobs)
