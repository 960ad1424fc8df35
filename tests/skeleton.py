"""The fewest folders and files by which a run takes its data sets and weights to be there; all of them are empty."""

from __future__ import annotations

from pathlib import Path

from cmcr.config import DatasetOptions
from cmcr.data.releases import load_release
from cmcr.models.image_encoder import encoder_files
from cmcr.plan import Plan

NUSCENES_TABLES = "attribute calibrated_sensor category ego_pose instance log map sample sample_annotation sample_data"
NUSCENES_TABLES += " scene sensor visibility lidarseg panoptic"
NUSCENES_CAMERAS = ("FRONT", "FRONT_RIGHT", "BACK_RIGHT", "BACK", "BACK_LEFT", "FRONT_LEFT")


def write_skeleton(plan: Plan, folder: Path) -> None:
    """Write what ``plan`` looks for below ``folder``, which its relative paths count from."""
    for options in plan.config.datasets.values():
        if options.root is not None:
            WRITERS[options.format](options, folder)
    for path in encoder_files(plan.config.teacher):
        touch(folder / path)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write_nuscenes(options: DatasetOptions, folder: Path) -> None:
    assert options.root is not None
    for table in NUSCENES_TABLES.split():
        touch(folder / options.root / options.version / f"{table}.json")
    for channel in ("LIDAR_TOP", *(f"CAM_{name}" for name in NUSCENES_CAMERAS)):
        (folder / options.root / "samples" / channel).mkdir(parents=True, exist_ok=True)


def write_semantic_kitti(options: DatasetOptions, folder: Path) -> None:
    assert options.root is not None
    release, root = load_release(options.version), folder / options.root
    for split in (options.splits.train, options.splits.validation):
        scenes = release.splits[split]
        if isinstance(scenes, str):
            touch(root / scenes)
            continue
        for scene in scenes:
            for kind in (release.points.folder, release.label_folder(split)):
                (root / kind.format(scene=scene)).mkdir(parents=True, exist_ok=True)


def write_waymo(options: DatasetOptions, folder: Path) -> None:
    assert options.tfrecords is not None
    for split in ("training", "validation"):
        touch(folder / options.tfrecords / split / "segment-1_with_camera_labels.tfrecord")


WRITERS = {"nuscenes": write_nuscenes, "semantic_kitti": write_semantic_kitti, "waymo": write_waymo}
