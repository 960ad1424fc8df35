from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from nuscenes.utils import splits

from cmcr.config import parse_config
from cmcr.demands import (
    BASE_MB,
    BASE_MINUTES,
    MAX_MINUTES,
    WORKER_MB,
    Demand,
    finetune_demand,
    frozen_features_mb,
    index_demand,
    pass_demand,
    pretrain_demand,
)
from cmcr.plan import Plan
from cmcr.split_sizes import OFFICIAL, split_size

ROOT = Path(__file__).resolve().parents[1]


def plan_of(name: str) -> Plan:
    return Plan.of(parse_config(yaml.safe_load((ROOT / "config" / name).read_text()), name), name)


def test_long_jobs_ask_for_a_day_and_short_ones_share_a_submission() -> None:
    plan = plan_of("paper.yaml")
    pretraining = pretrain_demand(plan.config, plan.pretrain_job("ppkt", 0))
    assert pretraining == Demand(BASE_MB["cuda"] + 8 * WORKER_MB, MAX_MINUTES, threads=8, gpus=1)
    runs = [run for run in plan.runs() if (run.task, run.dataset) == ("segmentation", "nuscenes")]
    finetunings = {run.percent: plan.finetune_job(run) for run in runs if run.protocol == "finetune"}
    short = {percent: finetune_demand(plan.config, job).short for percent, job in finetunings.items()}
    assert short == {1: True, 5: True, 10: True, 25: False, 100: False}
    # 100 epochs with a hundredth of the scans are one pass, and one more scores.
    assert finetune_demand(plan.config, finetunings[1]).minutes == BASE_MINUTES + 2 * 30


def test_all_of_the_toy_city_is_short() -> None:
    plan = plan_of("toy.yaml")
    assert all(finetune_demand(plan.config, plan.finetune_job(run)).short for run in plan.runs())


def test_a_second_attempt_gets_more_but_no_more_than_a_day() -> None:
    assert Demand(1000, 60, threads=2, gpus=1).at(1) == (1000, 60, 2, 1)
    assert Demand(1000, 60, threads=2, gpus=1).at(3) == (3000, 180, 2, 1)
    assert Demand(1000, 1000).at(2) == (2000, MAX_MINUTES, 1, 0)


@pytest.mark.parametrize(("config", "devices", "gpus"), [("paper.yaml", 4, 4), ("smoke.yaml", 2, 0)])
def test_several_devices_need_as_much_as_so_many_jobs_at_once(config: str, devices: int, gpus: int) -> None:
    one = plan_of(config)
    compute = one.config.compute.model_copy(update={"devices": devices})
    several = dataclasses.replace(one, config=one.config.model_copy(update={"compute": compute}))
    run = next(run for run in one.runs() if run.protocol == "linear_probe")
    for demand in (
        lambda plan: pretrain_demand(plan.config, plan.pretrain_job("ppkt", 0)),
        lambda plan: finetune_demand(plan.config, plan.finetune_job(run)),
    ):
        both = [demand(plan) for plan in (one, several)]
        assert both[1].memory_mb == devices * both[0].memory_mb
        assert both[1].minutes == both[0].minutes
        assert both[1].threads == devices * compute.threads
        assert both[1].gpus == gpus
    # Without training there is nothing to share.
    assert several.pretrain_job("scratch", 0) == one.pretrain_job("scratch", 0)
    assert pass_demand(several.config) == pass_demand(one.config)


def test_to_list_all_of_nuscenes_takes_more_memory_than_a_toy_city() -> None:
    real, toy = (plan_of(name).config.datasets for name in ("paper.yaml", "smoke.yaml"))
    assert index_demand(real["nuscenes"]).memory_mb > 4 * index_demand(toy["toy_nuscenes"]).memory_mb
    assert index_demand(real["semantic_kitti"]).memory_mb == BASE_MB["cpu"]


def test_frozen_features_are_added_where_they_are_kept() -> None:
    plan = plan_of("smoke.yaml")
    toy = plan.config.datasets["toy_nuscenes"]
    # 8 scans of at most 180 x 32 voxels, 16 channels of 4 bytes.
    assert frozen_features_mb(toy, 16) == -(-8 * 180 * 32 * 16 * 4 // 10**6)
    paper = plan_of("paper.yaml").config.datasets
    # 19,130 scans of 64 beams.
    assert frozen_features_mb(paper["semantic_kitti"], 96) == -(-19130 * 64 * 2200 * 96 * 4 // 10**6)
    probe = next(run for run in plan.runs() if run.protocol == "linear_probe")
    assert finetune_demand(plan.config, plan.finetune_job(probe)).memory_mb == BASE_MB["cpu"] + frozen_features_mb(
        toy, 16
    )


def test_official_splits_have_the_devkits_scenes() -> None:
    scenes = splits.create_splits_scenes()
    known = {split: size.scenes for (format, _, split), size in OFFICIAL.items() if format == "nuscenes"}
    assert known == {split: len(scenes[split]) for split in known}
    assert len(known) == 4
    toy = plan_of("smoke.yaml").config.datasets["toy_nuscenes"]
    assert split_size(toy, "mini_train") == (8, 2)
    assert split_size(toy, "mini_val") == (4, 1)
