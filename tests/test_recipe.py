"""Recipes: schedules worked by hand, and which parameters learn at which rate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from cmcr.recipe import Recipe, make_optimizer, schedule_factor

SGD = Recipe(epochs=1, batch_size=1, optimizer="sgd", lr=0.02, head_lr=2.0, weight_decay=0.5, schedule="cosine")


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("constant", 0, 1),
        ("constant", 100, 1),
        ("cosine", 0, 1),
        ("cosine", 25, (1 + 0.5**0.5) / 2),  # cos 45 degrees
        ("cosine", 50, 0.5),
        ("cosine", 100, 0),
        ("cosine", 130, 0),  # never up again
        ("one_cycle", 0, 0.04),
        ("one_cycle", 15, 0.52),  # half of the way from 1/25 to 1
        ("one_cycle", 30, 1),
        ("one_cycle", 65, 0.5),  # half of the way down
        ("one_cycle", 100, 0),
    ],
)
def test_schedules_by_hand(schedule: str, step: int, factor: float):
    assert schedule_factor(schedule, step, total_steps=100) == pytest.approx(factor, abs=1e-12)


@given(st.sampled_from(["constant", "cosine", "one_cycle"]), st.integers(0, 1000), st.integers(0, 1000))
def test_factors_are_shares(schedule: str, step: int, total: int):
    assert 0 <= schedule_factor(schedule, step, total) <= 1


def test_sgd_and_its_schedule_by_hand():
    """Gradient 1, weight 4, decay 0.5: step 1 moves by lr * (1 + 0.5 * 4); dampening begins with the second step."""
    body, head = nn.Parameter(torch.tensor(4.0)), nn.Parameter(torch.tensor(4.0))
    optimizer, schedule = make_optimizer(SGD, [body], [head], total_steps=2)

    def step() -> None:
        optimizer.zero_grad()
        (body + head).backward()
        optimizer.step()
        schedule.step()

    step()
    assert body.item() == pytest.approx(4 - 0.02 * 3)
    assert head.item() == pytest.approx(4 - 2.0 * 3)
    step()  # half of the rate; momentum 0.9 * 3 + (1 - 0.1) * (1 + 0.5 w)
    assert body.item() == pytest.approx(3.94 - 0.01 * (2.7 + 0.9 * (1 + 0.5 * 3.94)))
    assert head.item() == pytest.approx(-2 - 1.0 * (2.7 + 0.9 * (1 - 1)))
    assert [group["lr"] for group in optimizer.param_groups] == [0, 0]


def test_frozen_parameters_are_left_out():
    body, head = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    optimizer, _ = make_optimizer(SGD, body.parameters(), head.parameters(), 10)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]
    assert optimizer.param_groups[0]["initial_lr"] == 2.0


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)]
)
def test_optimizers(name: str, kind: type):
    parameter = nn.Parameter(torch.ones(1))
    optimizer, _ = make_optimizer(Recipe(epochs=1, batch_size=1, optimizer=name, lr=0.5), [parameter], [], 10)
    assert type(optimizer) is kind
    assert optimizer.defaults["weight_decay"] == 1e-4
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_head_learns_at_the_bodys_rate_unless_told_otherwise():
    recipe = SGD.merged_with({"head_lr": None})
    optimizer, _ = make_optimizer(recipe, [nn.Parameter(torch.ones(1))], [nn.Parameter(torch.ones(1))], 10)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]


def test_merged_recipes_are_checked_again():
    assert SGD.merged_with({"epochs": 7, "lr": 1}) == SGD.model_copy(update={"epochs": 7, "lr": 1.0})
    with pytest.raises(ValidationError, match="epochs"):
        SGD.merged_with({"epochs": 0})
    with pytest.raises(ValidationError, match="learning_rate"):
        SGD.merged_with({"learning_rate": 0.1})


@pytest.mark.parametrize(("scans", "batch", "expected"), [(5, 2, 9), (4, 2, 6), (1, 16, 3)])
def test_the_last_smaller_batch_of_an_epoch_is_a_step(scans: int, batch: int, expected: int) -> None:
    assert Recipe(epochs=3, batch_size=batch).steps(scans) == expected
