"""How a network is trained: the optimiser, its schedule and its length. One class for pre-training and fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from cmcr.options import Options


class Recipe(Options):
    """Optimiser, schedule and length of one training run."""

    epochs: PositiveInt
    """Passes over the training scans."""
    batch_size: PositiveInt
    """Scans per step."""
    optimizer: Literal["sgd", "adamw", "adam"] = "adamw"
    """The optimiser's name."""
    lr: PositiveFloat = 1e-3
    """Highest learning rate."""
    head_lr: PositiveFloat | None = None
    """Learning rate of the task head; null takes ``lr``."""
    weight_decay: NonNegativeFloat = 1e-4
    """Weight decay."""
    momentum: NonNegativeFloat = 0.9
    """Momentum of SGD."""
    dampening: NonNegativeFloat = 0.1
    """Dampening of SGD's momentum (0.1 in the SLidR family)."""
    schedule: Literal["cosine", "one_cycle", "constant"] = "cosine"
    """Course of the learning rate: cosine to zero; linear warm-up over the first 30 %, then cosine; constant."""
    workers: NonNegativeInt = 0
    """Processes that load data; 0 loads in the training process. The result does not depend on it."""

    def merged_with(self, overrides: Mapping[str, Any]) -> Recipe:
        """Return this recipe with some of its fields replaced (and checked again)."""
        return Recipe.model_validate({**self.model_dump(), **overrides})

    def steps(self, scans: int) -> int:
        """Steps of a whole run over ``scans`` training scans; the last, smaller batch of an epoch counts."""
        return self.epochs * math.ceil(scans / self.batch_size)

    def __str__(self) -> str:
        """For captions: ``2 epochs, batch 1, adamw, lr 0.002 (head 0.02), one cycle``."""
        head = "" if self.head_lr is None else f" (head {self.head_lr:g})"
        return (
            f"{self.epochs} epochs, batch {self.batch_size}, {self.optimizer}, lr {self.lr:g}{head}, "
            f"{self.schedule.replace('_', ' ')}"
        )


def make_optimizer(
    recipe: Recipe, body: Iterable[nn.Parameter], head: Iterable[nn.Parameter], total_steps: int
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Build the optimiser and its schedule, which advances once per step.

    Args:
        recipe: what to build.
        body: parameters trained at ``lr``.
        head: parameters trained at ``head_lr``.
        total_steps: the schedule reaches its end after this many steps.
    """
    groups = [
        {"params": [p for p in body if p.requires_grad], "lr": recipe.lr},
        {"params": [p for p in head if p.requires_grad], "lr": recipe.head_lr or recipe.lr},
    ]
    groups = [group for group in groups if group["params"]]
    decay = recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=recipe.momentum, dampening=recipe.dampening, weight_decay=decay)
    elif recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, weight_decay=decay)
    else:
        optimizer = torch.optim.Adam(groups, weight_decay=decay)
    return optimizer, LambdaLR(optimizer, lambda step: schedule_factor(recipe.schedule, step, total_steps))


def schedule_factor(schedule: str, step: int, total_steps: int, warm_up: float = 0.3) -> float:
    """Learning rate at ``step`` of ``total_steps``, as a share of the highest.

    ``one_cycle`` starts at 1/25 of the highest rate and climbs over the first 30 %, the defaults of Smith's one-cycle
    policy (arXiv:1708.07120) in torch's ``OneCycleLR``; momentum is left alone.
    """
    if schedule == "constant":
        return 1.0
    progress = min(step / max(total_steps, 1), 1.0)
    if schedule == "one_cycle":
        if progress < warm_up:
            return 1 / 25 + (1 - 1 / 25) * progress / warm_up
        progress = (progress - warm_up) / (1 - warm_up)
    return 0.5 * (1 + math.cos(math.pi * progress))
