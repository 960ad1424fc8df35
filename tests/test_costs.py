from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from cmcr.config import DatasetOptions, parse_config
from cmcr.costs import (
    CAMERAS,
    backbone_mb,
    config_sizes,
    count_jobs,
    feature_bank_mb,
    labelled_scans,
    model_mb,
    trainings,
)
from cmcr.data.range_grid import RangeGrid
from cmcr.data.voxels import VoxelGrid
from cmcr.models.backbone import make_backbone
from cmcr.models.minkunet import MinkUNetOptions
from cmcr.models.second import Second
from cmcr.models.voxelnet import VoxelNet, VoxelNetOptions
from cmcr.plan import Plan
from cmcr.split_sizes import SplitSize
from cmcr.step_times import StepTime, StepTimes
from cmcr.tasks.detection import DetectionOptions

ROOT = Path(__file__).resolve().parents[1]


def plan_of(name: str, **changes: Any) -> Plan:
    values = yaml.safe_load((ROOT / "config" / name).read_text())
    if name == "paper.yaml":  # the data set of pre-training is enough
        changes = {"tasks": {"segmentation": {"nuscenes": values["tasks"]["segmentation"]["nuscenes"]}}, **changes}
    return Plan.of(parse_config({**copy.deepcopy(values), **changes}, name), name)


def test_a_paper_run_counts_rows_shares_and_seeds() -> None:
    counts = count_jobs(plan_of("paper.yaml", methods={"scratch": {}, "ppkt": {}}))
    # Two rows, three seeds; a probe and five shares.
    assert counts == {
        "index_split": 2,
        "make_subset": 5,
        "pretrain": 6,
        "finetune": 36,
        "collect_scores": 2,  # all scores, and those of the one task
        "write_tables": 1,
        "compare_published": 1,
        "write_costs": 1,
        "write_gains": 1,
    }


def test_superpixels_teachers_and_caches_are_counted_where_a_row_needs_them() -> None:
    floor = count_jobs(plan_of("smoke.yaml", methods={"scratch": {}}, diagnostics=None))
    assert not {"train_teacher", "encode_images", "segment_images", "diagnose"} & set(floor)
    counts = count_jobs(plan_of("smoke.yaml", methods={"slidr": {}}, diagnostics=None))
    # Each of the two 3D networks has superpixels of its own size.
    assert (counts["train_teacher"], counts["encode_images"], counts["segment_images"]) == (1, 1, 2)


def test_steps_follow_from_scans_epochs_and_batch() -> None:
    plan = plan_of("paper.yaml", methods={"scratch": {}, "ppkt": {}})
    found = {row.name: row for row in trainings(plan, config_sizes(plan), StepTimes())}
    assert found["pretrain ppkt"].steps == 50 * 7033  # 28130 / 4, rounded up
    (one,) = [row for name, row in found.items() if "finetune 1 %" in name]
    # 7 of 700 scenes are 281 scans: 18 steps of 16, for 100 epochs.
    assert (one.jobs, one.steps, one.scored, one.seconds) == (6, 1800, 6019, None)


def test_a_linear_probe_of_scratch_is_trained_once_for_each_kind_of_statistics() -> None:
    plan = plan_of("paper.yaml", methods={"scratch": {}, "ppkt": {}})
    probes = [row for row in trainings(plan, config_sizes(plan), StepTimes()) if "linear_probe" in row.name]
    assert [(row.jobs, row.steps, row.scored) for row in probes] == [(3, 2 * 87950, 2 * 6019), (3, 87950, 6019)]


def test_unknown_sizes_and_times_stay_unknown() -> None:
    plan = plan_of("paper.yaml", methods={"ppkt": {}})
    by_hand = StepTimes((StepTime("pretrain", "*", "cuda", "*", 0.5),))
    known = {row.name: row.seconds for row in trainings(plan, config_sizes(plan), by_hand)}
    assert known.pop("pretrain ppkt") == pytest.approx(0.5 * 351_650)
    assert set(known.values()) == {None}
    assert {row.steps for row in trainings(plan, lambda *_: None, by_hand)} == {None}
    assert {row.seconds for row in trainings(plan, lambda *_: None, by_hand)} == {None}


def test_shares_of_scenes_and_of_scans() -> None:
    plan = plan_of("paper.yaml")
    (run,) = [run for run in plan.runs() if run.percent == 1 and run.method == "ppkt" and run.seed == 0]
    assert labelled_scans(plan, run, SplitSize(28130, 700)) == 281
    toy = plan_of("smoke.yaml")
    run = next(run for run in toy.runs() if run.percent == 25)
    assert labelled_scans(toy, run, SplitSize(10, 2)) == 3  # scans 1, 5 and 9 of 10


def test_disk_is_that_of_real_weights_and_features() -> None:
    options = MinkUNetOptions(stem=4, planes=(4,) * 8, blocks=(1,) * 8)
    weights = make_backbone(options).state_dict().values()
    assert backbone_mb(options, VoxelGrid()) == sum(tensor.nbytes for tensor in weights) / 1e6
    smoke = plan_of("smoke.yaml")
    # 8 scans of 6 images, 32 channels on 14 x 25 cells of float16.
    assert feature_bank_mb(smoke, config_sizes(smoke)) == pytest.approx(8 * 6 * 32 * 14 * 25 * 2 / 1e6)
    assert feature_bank_mb(plan_of("paper.yaml"), lambda *_: None) == 0


def test_a_detectors_disk_is_that_of_all_its_layers() -> None:
    plan = plan_of("toy.yaml")
    job = next(plan.finetune_job(run) for run in plan.runs() if (run.task, run.dataset) == ("detection", "toy_kitti"))
    options = DetectionOptions.model_validate(job.options)
    backbone = VoxelNet(VoxelNetOptions.model_validate(job.backbone), RangeGrid.model_validate(job.voxels))
    above = Second(backbone, options.bev, options.head)
    weights = [*backbone.state_dict().values(), *above.state_dict().values()]
    assert model_mb(job) == pytest.approx(sum(tensor.nbytes for tensor in weights) / 1e6)
    assert model_mb(job) > backbone_mb(job.backbone, job.voxels)


def test_features_are_cached_of_every_format() -> None:
    assert CAMERAS.keys() == set(get_args(DatasetOptions.model_fields["format"].annotation))
