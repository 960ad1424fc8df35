from __future__ import annotations

from pathlib import Path

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
    assert pretraining == Demand(BASE_MB["cuda"] + 8 * WORKER_MB, MAX_MINUTES)
    finetunings = {run.percent: plan.finetune_job(run) for run in plan.runs() if run.protocol == "finetune"}
    short = {percent: finetune_demand(plan.config, job).short for percent, job in finetunings.items()}
    assert short == {1: True, 5: True, 10: True, 25: False, 100: False}
    # 100 epochs with a hundredth of the scans are one pass, and one more scores.
    assert finetune_demand(plan.config, finetunings[1]).minutes == BASE_MINUTES + 2 * 30


def test_all_of_the_toy_city_is_short() -> None:
    plan = plan_of("toy.yaml")
    assert all(finetune_demand(plan.config, plan.finetune_job(run)).short for run in plan.runs())


def test_a_second_attempt_gets_more_but_no_more_than_a_day() -> None:
    assert Demand(1000, 60).at(1) == (1000, 60)
    assert Demand(1000, 60).at(3) == (3000, 180)
    assert Demand(1000, 1000).at(2) == (2000, MAX_MINUTES)


def test_frozen_features_are_added_where_they_are_kept() -> None:
    plan = plan_of("smoke.yaml")
    toy = plan.config.datasets["toy_nuscenes"]
    # 8 scans of at most 180 x 32 voxels, 16 channels of 4 bytes.
    assert frozen_features_mb(toy, 16) == -(-8 * 180 * 32 * 16 * 4 // 10**6)
    probe = next(run for run in plan.runs() if run.protocol == "linear_probe")
    assert finetune_demand(plan.config, plan.finetune_job(probe)).memory_mb == BASE_MB["cpu"] + frozen_features_mb(
        toy, 16
    )


def test_official_splits_have_the_devkits_scenes() -> None:
    scenes = splits.create_splits_scenes()
    of_nuscenes = {split: size.scenes for (format, _, split), size in OFFICIAL.items() if format == "nuscenes"}
    assert of_nuscenes == {split: len(scenes[split]) for split in of_nuscenes}
    toy = plan_of("smoke.yaml").config.datasets["toy_nuscenes"]
    assert split_size(toy, "mini_train") == (8, 2)
    assert split_size(toy, "mini_val") == (4, 1)
