"""Published weights in place of a pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Workflow, planned
from .tiny import TINY, with_change


def released_weights(path: Path, seed: int = 0) -> Path:
    """Weights of the tiny network in SLidR's layout."""
    import torch

    from cmcr.models.minkowski import to_minkowski
    from cmcr.models.minkunet import MinkUNet, MinkUNetOptions

    torch.manual_seed(seed)
    network = MinkUNet(MinkUNetOptions.model_validate(TINY["backbone"]), in_channels=1, out_channels=8)
    config = {"voxel_size": 0.5, "cylindrical_coordinates": False}
    torch.save({"model_points": to_minkowski(network.state_dict()), "epoch": 50, "config": config}, path)
    return path


def with_published(weights: Path) -> dict[str, Any]:
    row = {"weights": str(weights), "label": "SLidR (released)"}
    return with_change(lambda config: config.update(methods={"scratch": {}, "slidr_released": row}, seeds=[0, 1]))


def test_published_weights_are_imported_and_not_trained(workflow: Workflow) -> None:
    workflow.configure(with_published(workflow.folder / "gone.pt"))
    output = workflow.run("-n", fails=True)
    assert "gone.pt: no such file (config key methods.slidr_released.weights)" in output
    workflow.configure(with_published(released_weights(workflow.folder / "here.pt")))
    jobs = planned(workflow.run("-n"))
    for seed in (0, 1):
        assert f"Import the published weights of slidr_released for seed {seed}" in jobs
        assert f"segmentation on toy_nuscenes: slidr_released, finetune with 50 % of the labels, seed {seed}" in jobs
        assert f"Pre-train scratch, minkunet, seed {seed}" in jobs
    assert not any("Pre-train slidr_released" in job for job in jobs)


@pytest.mark.slow
def test_published_weights_are_a_row_of_the_tables(workflow: Workflow) -> None:
    weights = released_weights(workflow.folder / "released.pt")
    workflow.configure(with_published(weights))
    workflow.run("all_tables", "results/tiny/figures/features_toy_nuscenes_slidr_released.png")
    results = workflow.results
    assert "SLidR (released)" in (results / "tables" / "segmentation.md").read_text()
    assert {
        folder.name for folder in (results / "pretrain" / "published" / "minkunet" / "slidr_released").iterdir()
    } == {
        "seed0",
        "seed1",
    }
    log = (results / "logs" / "pretrain" / "published" / "minkunet" / "slidr_released" / "seed0.log").read_text()
    assert "below model_points" in log
    # Another file is another backbone: what depends on it runs again, and nothing else does.
    released_weights(weights, seed=1)
    jobs = planned(workflow.run("-n", "all_tables"))
    assert any("slidr_released" in job for job in jobs)
    assert [job for job in jobs if "scratch" in job] == ["Write the table of gains over scratch"]
