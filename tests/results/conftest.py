"""Invented scores: three methods, probed and fine-tuned with three seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from cmcr.results.collect import scores_table
from cmcr.results.scores import Hardware, Metric, Provenance, Scores

MakeRun = Callable[..., Scores]

PROVENANCE = Provenance(
    config_hash="c0ffee",
    data_checksum="beef",
    git_commit="0123abcd",
    dirty=False,
    packages={"torch": "2.13.0"},
    hardware=Hardware(cpu="some processor", cores=2, threads=1, gpu="none", platform="Linux"),
    wall_time_s=1.5,
    peak_memory_mb=300.0,
)


def make_run(miou: float | None = 20.0, **changes: Any) -> Scores:
    """One run whose classes car and road lie 5 below and above the mean; None gives a run without numbers."""
    values = {("miou", "all"): 0.0, ("fwiou", "all"): 1.0, ("iou", "car"): -5.0, ("iou", "road"): 5.0}
    metrics = [
        Metric(
            metric=metric,
            class_name=name,
            value=None if miou is None else miou + shift,
            higher_is_better=True,
            reason="it diverged" if miou is None else None,
        )
        for (metric, name), shift in values.items()
    ]
    fields: dict[str, Any] = {
        "task": "segmentation",
        "dataset": "town",
        "split": "val",
        "num_frames": 12,
        "pretrain_dataset": "town",
        "method": "ppkt",
        "protocol": "finetune",
        "label_percent": 10,
        "label_scans": 4,
        "seed": 0,
        "toy": True,
        "metrics": metrics,
        "provenance": PROVENANCE,
    }
    return Scores(**{**fields, **changes})


@pytest.fixture(name="make_run")
def make_run_fixture() -> MakeRun:
    return make_run


@pytest.fixture
def runs() -> dict[str, Scores]:
    """Scratch, ppkt and cmcr, better in this order; 1.0 between seeds, so that the deviation is 1.0."""
    levels = {"scratch": 10.0, "ppkt": 20.0, "cmcr": 30.0}
    settings = {("linear_probe", 100): (0.0, 40), ("finetune", 1): (5.0, 1), ("finetune", 10): (10.0, 4)}
    return {
        f"{method}/{protocol}/{percent}/{seed}.json": make_run(
            level + bonus + seed,
            method=method,
            pretrain_dataset="none" if method == "scratch" else "town",
            protocol=protocol,
            label_percent=percent,
            label_scans=scans,
            seed=seed,
        )
        for method, level in levels.items()
        for (protocol, percent), (bonus, scans) in settings.items()
        for seed in range(3)
    }


@pytest.fixture
def scores(runs: dict[str, Scores]) -> pd.DataFrame:
    return scores_table(runs)


@pytest.fixture
def methods() -> dict[str, str]:
    return {"scratch": "Scratch", "ppkt": "PPKT", "cmcr": "CMCR"}
