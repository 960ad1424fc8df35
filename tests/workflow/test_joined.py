"""The workflow with several data sets of pre-training."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from cmcr.commands.plan import load_plan
from cmcr.costs import count_jobs
from cmcr.models.backbone import read_record
from cmcr.results.collect import read_scores_table

from .conftest import Workflow, planned
from .tiny import TINY, TINY_KITTI

BOTH = "toy_nuscenes+toy_kitti"


def joined(datasets: list[str]) -> dict[str, Any]:
    """The smallest run, pre-trained on some toy cities and fine-tuned on one, and on a third that has no other use."""
    config = copy.deepcopy(TINY)
    kitti = copy.deepcopy(TINY_KITTI["datasets"]["toy_kitti"])
    other = copy.deepcopy(kitti)
    other["toy"]["seed"] = 7
    config["datasets"] |= {"toy_kitti": kitti, "other": other}
    config["pretrain"]["dataset"] = datasets
    config["methods"]["slidr"] = {}
    config["pretrain"] |= {"superpixel_jobs": 2, "superpixels": {"segments": 20, "sigma": 0}}
    finetune = {"finetune": config["tasks"]["segmentation"]["toy_nuscenes"]["finetune"]}
    config["tasks"]["segmentation"]["other"] = finetune
    return config


def test_everything_is_made_for_each_data_set_and_the_pre_training_of_all(workflow: Workflow) -> None:
    workflow.configure(joined(["toy_nuscenes", "toy_kitti"]))
    output = workflow.run("-n", "all_tables")
    jobs = planned(output)
    for dataset in ("toy_nuscenes", "toy_kitti"):
        assert jobs.count(f"List the train scans of {dataset} and check their files") == 1
        assert jobs.count(f"Run the image teacher once over all training images of {dataset}") == 1
        assert sum(job.startswith(f"Cut the training images of {dataset} into superpixels") for job in jobs) == 2
    assert "Write the table of transfer to other data sets" in jobs
    assert f"results/tiny/pretrain/{BOTH}/minkunet/ppkt/seed0/backbone.safetensors" in output
    assert f"results/tiny/finetune/toy_nuscenes/segmentation/{BOTH}/ppkt/" in output
    table = output.split("Job stats:")[1]
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}
    del counts["total"], counts["all_tables"]
    assert counts == count_jobs(load_plan(workflow.folder / "config.yaml"))


def test_pictures_and_measures_are_of_the_first(workflow: Workflow) -> None:
    config = joined(["toy_kitti", "toy_nuscenes"])
    config["methods"] = {"cmcr": {}}
    workflow.configure(config)
    output = workflow.run("-n", "all_figures", "report")
    name = "toy_kitti+toy_nuscenes"
    for figure in ("losses", "codebook", "features", "reconstruction", "occupancy"):
        assert f"figures/{figure}_{name}_cmcr." in output
    assert f"results/tiny/pretrain/{name}/minkunet/cmcr/seed0/held_out.json" in output
    assert "index/toy_kitti/validation.jsonl" in output


def test_a_list_of_one_is_that_one(workflow: Workflow) -> None:
    plans = []
    for dataset in ("toy_nuscenes", ["toy_nuscenes"]):
        workflow.configure({**TINY, "pretrain": {**TINY["pretrain"], "dataset": dataset}})
        output = workflow.run("-n", "--printshellcmds", "all_tables", "all_figures")
        plans.append(sorted(re.findall(r"python -m cmcr .*", output)))
    assert any("cmcr pretrain" in command for command in plans[0])
    assert plans[0] == plans[1]


@pytest.mark.slow
def test_a_run_ends_in_tables_that_name_all_data_sets_of_pre_training(workflow: Workflow) -> None:
    workflow.configure(joined(["toy_nuscenes", "toy_kitti"]))
    workflow.run("all_tables", "all_figures")
    results = workflow.results
    scores = read_scores_table(results / "scores.tsv")
    assert set(scores["pretrain_dataset"]) == {"none", BOTH}
    assert (
        read_record(results / "pretrain" / BOTH / "minkunet" / "slidr" / "seed0" / "backbone.safetensors").dataset
        == BOTH
    )
    transfer = (results / "tables" / "transfer.md").read_text()
    assert "pre-trained on toy\\_kitti and toy\\_nuscenes" in transfer
    assert (results / "figures" / f"features_{BOTH}_ppkt.png").is_file()
    assert planned(workflow.run("-n", "all_tables", "all_figures")) == []
