"""Detection in the DAG: a second network beside the first."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from detectors import ANCHORS, BEV

from .conftest import ROOT, Workflow, planned
from .tiny import TINY


def with_detection(**changes: Any) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    config["datasets"]["toy_kitti"] = {
        "format": "kitti",
        "toy": {
            **config["datasets"]["toy_nuscenes"]["toy"],
            "keyframes": 2,
            "image_size": [94, 311],
            "azimuth_steps": 180,
        },
        "version": "training",
        "splits": {"train": "train", "validation": "val"},
    }
    config["voxelnet"] = {
        "network": {"channels": [4, 4, 4, 4], "top": 4},
        "grid": {"bounds_m": [-16, -16, -3, 16, 16, 1], "cell_m": [0.8, 0.8, 0.16]},
        "recipe": {"epochs": 1},
    }
    anchors = [{**anchor, "size_m": list(anchor["size_m"])} for anchor in ANCHORS["anchors"]]
    options = {
        "grid": {"bounds_m": [0, -16, -3, 32, 16, 1], "cell_m": [0.4, 0.4, 0.16]},
        "head": {**ANCHORS, "anchors": anchors},
        "bev": {name: list(value) if isinstance(value, tuple) else value for name, value in BEV.items()},
    }
    finetune = {"label_percents": [100], "subset_rule": "scan", "recipe": {"epochs": 1, "batch_size": 2}}
    config["tasks"]["detection"] = {"toy_kitti": {"options": options, "finetune": finetune}}
    return {**config, **changes}


def test_both_networks_are_pre_trained_and_detection_is_drawn(workflow: Workflow) -> None:
    workflow.configure(with_detection(methods={**TINY["methods"], "slidr": {}}))
    jobs = planned(workflow.run("-n", "all_tables", "all_figures"))
    for method in ("scratch", "ppkt", "slidr"):
        for network in ("minkunet", "voxelnet"):
            assert f"Pre-train {method}, {network}, seed 0" in jobs
        assert f"detection on toy_kitti: {method}, finetune with 100 % of the labels, seed 0" in jobs
        assert f"Draw the boxes that {method} finds on toy_kitti" in jobs
    assert {"Write the tables of detection", "Put the toy city's scenes together as toy_kitti"} <= set(jobs)
    assert "Draw the figure label_efficiency of detection on toy_kitti" in jobs
    assert not any("per_class of detection" in job for job in jobs)  # it shows the linear probe
    for network in ("minkunet", "voxelnet"):  # one wants 150 superpixels of an image, the other 30
        assert any(job.startswith("Cut the training images") and f"for {network}" in job for job in jobs)
    # What frozen features hold is asked of the first network alone.
    assert sum(job.startswith("Diagnose") for job in jobs) == 3
    assert sum(job.startswith("Draw what") for job in jobs) == 2


def test_detection_alone_trains_no_other_network(workflow: Workflow) -> None:
    config = with_detection()
    config["tasks"].pop("segmentation")
    config.pop("diagnostics")
    workflow.configure(config)
    jobs = planned(workflow.run("-n", "all_tables", "all_figures"))
    assert "Pre-train ppkt, voxelnet, seed 0" in jobs
    assert not any("minkunet" in job or job.startswith("Draw what") for job in jobs)


@pytest.mark.slow
def test_from_config_to_tables_pictures_and_a_submission(workflow: Workflow) -> None:
    config = with_detection()
    config["tasks"].pop("segmentation")
    config.pop("diagnostics")
    workflow.configure(config)
    workflow.run("all_tables", "all_figures", "report")
    results = workflow.results
    table = (results / "tables" / "detection.md").read_text()
    assert "mAP is the mean over classes of KITTI's AP" in table
    assert "PPKT" in table
    per_class = (results / "tables" / "detection_per_class.md").read_text()
    assert all(name in per_class for name in ("Car", "Pedestrian", "Cyclist"))
    assert "PPKT, VoxelNet" in (results / "tables" / "cost.md").read_text()
    figures = {path.name for path in (results / "figures").iterdir()}
    assert {"boxes_toy_kitti_ppkt.png", "boxes_toy_kitti_scratch.png"} <= figures
    assert {"losses_voxelnet_toy_nuscenes_ppkt.svg", "detection_toy_kitti_label_efficiency.svg"} <= figures
    assert "Boxes: PPKT on toy_kitti" in (results / "report.html").read_text(encoding="utf-8")
    assert planned(workflow.run("-n", "all_tables", "all_figures", "report")) == []
    (model,) = results.glob("finetune/toy_kitti/detection/*/ppkt/**/model.safetensors")
    arguments = ["--model", str(model), "--index", str(results / "index" / "toy_kitti" / "validation.jsonl")]
    command = [sys.executable, "-m", "cmcr", "export-predictions", *arguments, "--output", "submission"]
    subprocess.run(command, cwd=workflow.folder, env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    files = {path.name for path in (workflow.folder / "submission").iterdir()}
    assert files == {"040000.txt", "040001.txt"}
