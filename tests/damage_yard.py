"""One small good data set or file of each kind, for `damage` to damage copies of."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage_tools import ROOT, npy, put, torch_file
from PIL import Image

from cmcr.results.collect import scores_table, write_scores_table
from cmcr.results.frames import FrameCounts, FramesRecord, write_frames
from cmcr.results.scores import Hardware, Metric, Provenance, Scores, write_scores


def build_yard(yard: Path) -> None:
    """Write everything that is damaged later, a folder a group."""
    _build_nuscenes(yard / "nuScenes")
    from invented_kitti import write_frame, write_split
    from invented_releases import write_release

    write_release(yard / "SemanticKITTI", "semantic_kitti", "val", scans=2, images=True)
    write_frame(yard / "KITTI", "000003")
    write_frame(yard / "KITTI", "000004")
    write_split(yard / "KITTI", "train", "000003", "000004")
    _build_waymo(yard / "Waymo")
    _build_label_map(yard / "label map")
    _build_weights(yard / "weights")
    _build_config(yard / "config")
    _build_results(yard / "results")
    _build_pretraining(yard / "pre-training", yard / "nuScenes")


#: Names of the toy city's files of the first keyframe, for damages to find them.
SWEEP, IMAGE, LIDARSEG, PANOPTIC = (
    "sweep.bin",
    "image.jpg",
    "lidarseg/v1.0-mini/a_lidarseg.bin",
    "panoptic/v1.0-mini/a_panoptic.npz",
)


def _build_nuscenes(root: Path) -> None:
    """A toy city whose first keyframe's files have names that are known beforehand."""
    from cmcr.data.nuscenes_index import make_index
    from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene

    options = ToyCityOptions(train_scenes=1, validation_scenes=1, keyframes=2, image_size=(48, 80), azimuth_steps=90)
    with tempfile.TemporaryDirectory() as parts:
        paths = [Path(parts) / f"{scene}.json" for scene in options.scene_names()]
        for scene, path in zip(options.scene_names(), paths, strict=True):
            write_scene(options, scene, root, path)
        join_scenes(paths, root)
    record = make_index("d", root, "v1.0-mini", "mini_train").records[0]
    renamed = {
        record.lidar: SWEEP,
        record.cameras[0].image: IMAGE,
        str(record.labels): LIDARSEG,
        str(record.panoptic): PANOPTIC,
    }
    for old, new in renamed.items():
        (root / old).rename(root / new)
        for table in ("sample_data", "lidarseg", "panoptic"):
            path = root / "v1.0-mini" / f"{table}.json"
            path.write_text(path.read_text().replace(f'"{old}"', f'"{new}"'))


def _build_waymo(root: Path) -> None:
    points = np.array([[10, 0, 0, 0.5], [20, 1, 0, 0.25], [5, -1, -1, 1]], "<f4").tobytes()
    labels = np.array([1 | 7 << 16, 18, 0], "<u4").tobytes()
    picture = io.BytesIO()
    Image.new("RGB", (40, 20), "navy").save(picture, "PNG")
    pose = np.eye(4)[:3].ravel().tolist()
    camera = {
        "name": "FRONT", "size": [20, 40], "intrinsics": [40, 0, 20, 0, 40, 10, 0, 0, 1],
        "distortion": [0.0] * 5, "vehicle_from_camera": [0, 0, 1, 1, -1, 0, 0, 0, 0, -1, 0, 2],
        "world_from_vehicle": pose, "image_bytes": len(picture.getvalue()),
    }  # fmt: skip
    frames = []
    for number in range(2):
        names = {kind: f"training/seg/{number}.{kind}" for kind in ("points", "labels", "image")}
        for kind, content in {"points": points, "labels": labels, "image": picture.getvalue()}.items():
            put(root / names[kind], content)
        frames.append(
            {
                "token": f"seg_{number}",
                "timestamp_us": number,
                "vehicle_from_lidar": pose,
                "world_from_vehicle": pose,
                "points": names["points"],
                "points_bytes": len(points),
                "labels": names["labels"],
                "labels_bytes": len(labels),
                "boxes": [
                    {
                        "type": 1,
                        "difficulty": 1,
                        "num_lidar_points": 9,
                        "centre": [9, 0.5, 1],
                        "size": [4, 2, 1.5],
                        "heading": 0.25,
                    },
                ],
                "no_label_zones": [[[20, 0], [25.5, 0], [25.5, 5]]],
                "cameras": [camera | {"image": names["image"]}],
            }
        )
    content = {"format": "cmcr waymo segment", "format_version": 1, "segment": "seg", "problems": [], "frames": frames}
    put(root / "training" / "seg.json", json.dumps(content).encode())


LABEL_MAP = """\
title: Mine
points: {folder: "clouds/{scene}"}
labels: {folder: "labels/{scene}"}
splits: {train: ["a"], val: ["b"]}
classes:
  ignore: {0: nothing}
  car: {1: car, 2: van}
"""


def _build_label_map(root: Path) -> None:
    put(root / "mine.yaml", LABEL_MAP.encode())
    for scene in "ab":
        put(root / f"clouds/{scene}/000000.bin", np.full((3, 4), 0.5, "<f4").tobytes())
        put(root / f"labels/{scene}/000000.label", np.array([0, 1, 2], "<u4").tobytes())


def _build_weights(root: Path) -> None:
    from invented import TINY, VOXELS
    from safetensors.torch import save_file

    from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
    from cmcr.models.minkowski import to_minkowski

    torch.manual_seed(0)
    backbone = make_backbone(TINY)
    record = BackboneRecord(
        method="scratch", dataset="none", seed=0, backbone=TINY, voxels=VOXELS, config_hash="c0ffee", data_checksum=""
    )
    save_backbone(root / "backbone.safetensors", backbone, record)
    put(root / "published.pt", torch_file({"model_points": to_minkowski(backbone.state_dict())}))
    save_file({"a": torch.ones(2)}, root / "other.safetensors")


def _build_config(root: Path) -> None:
    put(root / "config.yaml", (ROOT / "config" / "smoke.yaml").read_bytes())
    put(root / "step_times.tsv", b"kind\tmethod\tdevice\tsetting\tseconds\npretrain\tppkt\tcpu\t*\t0.5\n")


RUN: dict[str, Any] = {
    "task": "segmentation", "dataset": "town", "split": "val", "pretrain_dataset": "none", "method": "scratch",
    "protocol": "finetune", "label_percent": 10.0, "seed": 0, "toy": True,
}  # fmt: skip


def make_scores(**changes: Any) -> Scores:
    """Return the scores of one run."""
    provenance = Provenance(
        config_hash="c0ffee", data_checksum="beef", git_commit="0123abcd", dirty=False, packages={},
        hardware=Hardware(cpu="some processor", cores=2, threads=1, gpu="none", platform="Linux"),
        wall_time_s=1.5, peak_memory_mb=300.0,
    )  # fmt: skip
    metrics = [Metric(metric="miou", class_name="all", value=20.0, higher_is_better=True)]
    rest = {"num_frames": 2, "label_scans": 4, "metrics": metrics, "provenance": provenance}
    return Scores(**{**RUN, **rest, **changes})


def _build_results(root: Path) -> None:
    scores = make_scores()
    write_scores(root / "scores.json", scores)
    write_scores_table(root / "scores.tsv", scores_table({"scores.json": scores}))
    counts = np.array([[1.0, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
    write_frames(root / "frames.safetensors", FrameCounts(FramesRecord(**RUN, index_checksum="beef"), counts))
    put(root / "metrics.csv", b"step,epoch,lr,loss\n1,0,0.1,2.5\n2,0,0.1,2.25\n")
    for name in ("published", "names", "lineages", "splits", "gaps"):
        shutil.copy(ROOT / "results" / "reference" / f"{name}.csv", root / f"{name}.csv")


def _build_pretraining(root: Path, nuscenes: Path) -> None:
    """Index, subset, features and superpixels of the toy city."""
    from cmcr.data.nuscenes_index import make_index
    from cmcr.data.subsets import make_subset
    from cmcr.data.superpixels import SuperpixelFiles, SuperpixelOptions, make_superpixels

    made = make_index("d", nuscenes, "v1.0-mini", "mini_train")
    made.save(root / "index.jsonl")
    make_subset(made, 50, "scan").save(root / "subset.txt")
    put(root / "features.npy", npy((2, 6, 4, 12, 20), content=np.ones((2, 6, 4, 12, 20), "<f2").tobytes()))
    make_superpixels(made, SuperpixelFiles(root / "superpixels", nuscenes, SuperpixelOptions(segments=8)))
    shutil.copy(root.parent / "weights" / "backbone.safetensors", root / "backbone.safetensors")
