"""Configs of the smallest runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

#: Two methods and two shares: every rule of the workflow once or twice, but not that of superpixels.
TINY: dict[str, Any] = {
    "run_name": "tiny",
    "seeds": [0],
    "datasets": {
        "toy_nuscenes": {
            "toy": {
                "train_scenes": 1,
                "validation_scenes": 1,
                "keyframes": 4,
                "image_size": [48, 80],
                "azimuth_steps": 90,
            },
            "version": "v1.0-mini",
            "splits": {"train": "mini_train", "validation": "mini_val"},
        }
    },
    "methods": {"scratch": {}, "ppkt": {"options": {"num_pairs": 64}}},
    "backbone": {"stem": 4, "planes": [4, 4, 4, 4, 4, 4, 4, 4], "blocks": [1, 1, 1, 1, 1, 1, 1, 1]},
    "voxels": {"kind": "cartesian", "size_m": 0.5},
    "teacher": {"kind": "small", "hidden_sizes": [8, 8], "out_channels": 8},
    "teacher_recipe": {"steps": 3, "images_per_step": 2},
    "pretrain": {
        "dataset": "toy_nuscenes",
        "images": {"size": [48, 80]},
        "cache_image_features": True,
        "recipe": {"epochs": 4, "batch_size": 2},
    },
    "tasks": {
        "segmentation": {
            "toy_nuscenes": {
                "linear_probe": {"recipe": {"epochs": 2, "batch_size": 2}},
                "finetune": {
                    "label_percents": [50],
                    "subset_rule": "scan",
                    "recipe": {"epochs": 4, "batch_size": 1},
                },
            }
        }
    },
    "diagnostics": {
        "fit_scans": 2,
        "scans": 2,
        "points_per_scan": 200,
        "critic": {"candidates": 32, "channels": 4, "steps": 3, "pairs_per_step": 32},
    },
}

#: The tiny run on the toy city in SemanticKITTI's format.
TINY_KITTI: dict[str, Any] = {
    **{key: value for key, value in TINY.items() if key != "diagnostics"},
    "datasets": {
        "toy_kitti": {
            "format": "semantic_kitti",
            "toy": {**TINY["datasets"]["toy_nuscenes"]["toy"], "image_size": [48, 160], "azimuth_steps": 60},
            "version": "semantic_kitti_mini",
            "splits": {"train": "mini_train", "validation": "mini_val"},
        }
    },
    "pretrain": {**TINY["pretrain"], "dataset": "toy_kitti", "images": {"size": [48, 160]}},
    "tasks": {"segmentation": {"toy_kitti": TINY["tasks"]["segmentation"]["toy_nuscenes"]}},
}

#: A toy Waymo beside what `TINY` has.
WAYMO = {
    "format": "waymo",
    "version": "toy",
    "toy": {"train_scenes": 1, "validation_scenes": 1, "keyframes": 2, "image_size": [48, 80], "azimuth_steps": 90},
    "splits": {"train": "training", "validation": "validation_labelled"},
}


def with_change(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    change(config)
    return config


def with_waymo(config: dict[str, Any]) -> None:
    config["datasets"]["toy_waymo"] = WAYMO
    config["tasks"]["segmentation"]["toy_waymo"] = config["tasks"]["segmentation"]["toy_nuscenes"]
