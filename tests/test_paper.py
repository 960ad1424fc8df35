"""What ``config/paper.yaml`` asks for, against the tables of recipes that it is made from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cmcr.config import parse_config
from cmcr.plan import Plan, Run

ROOT = Path(__file__).resolve().parents[1]

#: Label shares by task and data set.
SHARES = {
    ("segmentation", "nuscenes"): (1, 5, 10, 25, 100),
    ("segmentation", "semantic_kitti"): (1, 5, 10, 20, 100),
    ("segmentation", "scribble_kitti"): (1, 10),
    ("segmentation", "rellis_3d"): (1, 10),
    ("segmentation", "semantic_stf"): (50, 100),
    ("segmentation", "daps_3d"): (50, 100),
    ("segmentation", "semantic_poss"): (50, 100),
    ("segmentation", "synlidar"): (1, 10),
    ("segmentation", "synth4d"): (1, 10),
    ("segmentation", "waymo"): (1,),
    ("panoptic", "nuscenes"): (1, 5, 10, 25, 100),
    ("panoptic", "semantic_kitti"): (1, 5, 10, 20, 100),
}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.of(parse_config(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()), "paper.yaml"), "paper")


def test_every_task_is_run_at_its_shares(plan: Plan) -> None:
    found = {(task, dataset): options.finetune for task, dataset, options in plan.config.tasks.items()}
    assert {key: finetune and finetune.label_percents for key, finetune in found.items()} == SHARES
    rules = {dataset: finetune.subset_rule for (_, dataset), finetune in found.items() if finetune}
    assert {dataset for dataset, rule in rules.items() if rule == "scene"} == {"nuscenes"}


@pytest.mark.parametrize(
    ("dataset", "percent", "expected"),
    [
        ("nuscenes", 1, (100, 16, 0.02, 2.0)),
        ("nuscenes", 5, (50, 16, 0.02, 2.0)),
        ("semantic_kitti", 1, (100, 10, 0.05, 2.0)),
        ("semantic_kitti", 20, (50, 10, 0.05, 2.0)),
        ("scribble_kitti", 1, (100, 10, 0.05, 2.0)),
        ("rellis_3d", 1, (100, 2, 0.05, 2.0)),
        ("rellis_3d", 10, (100, 10, 0.05, 2.0)),
        ("semantic_stf", 50, (100, 10, 0.05, 2.0)),
        ("daps_3d", 100, (100, 2, 0.05, 0.2)),
        ("waymo", 1, (100, 10, 0.05, 2.0)),
    ],
)
def test_epochs_batch_and_rates(plan: Plan, dataset: str, percent: float, expected: tuple[float, ...]) -> None:
    job = plan.finetune_job(Run("segmentation", dataset, "nuscenes", "ppkt", "finetune", percent, 0))
    recipe = job.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.head_lr) == expected
    assert (recipe.optimizer, recipe.momentum, recipe.dampening, recipe.weight_decay) == ("sgd", 0.9, 0.1, 1e-4)
    assert job.backbone.batch_norm_momentum == 0.02
    scratch = plan.finetune_job(Run("segmentation", dataset, "none", "scratch", "finetune", percent, 0)).recipe
    assert (scratch.lr, scratch.head_lr, scratch.epochs) == (0.05, None, expected[0])


def test_cmcr_has_the_recipe_of_its_release_and_the_options_of_the_figure(plan: Plan) -> None:
    job = plan.pretrain_job("cmcr", 0)
    recipe = job.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.lr) == (10, 12, "adamw", 1e-3)
    # AdamW's own weight decay, and neither a schedule nor dropped cuboids.
    assert (recipe.weight_decay, recipe.schedule, job.augmentation.drop_cuboid) == (1e-2, "constant", None)
    assert plan.config.methods["cmcr"].options == {}
    assert job.options["num_pairs"] == 2048
    assert job.options["codebook"]["codes"] == 400


def test_panoptic_segmentation_has_one_rate(plan: Plan) -> None:
    recipe = plan.finetune_job(Run("panoptic", "semantic_kitti", "nuscenes", "ppkt", "finetune", 20, 0)).recipe
    assert (recipe.optimizer, recipe.lr, recipe.head_lr) == ("adam", 4e-3, None)
    assert (recipe.epochs, recipe.batch_size) == (100, 8)
