"""Small data sets invented on disk, in SemanticKITTI's format or in that of any of its relatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cmcr.data.releases import Release, load_release

#: P2 of KITTI's object frames, with camera 2 beside camera 0, and a Tr that turns axes and shifts.
P2 = np.array([[721.5, 0, 609.6, 44.86], [0, 721.5, 172.9, 0.2164], [0, 0, 1, 0.002746]])
TR = np.array([[0, -1, 0, -0.02], [0.0, 0, -1, -0.06], [1, 0, 0, -0.27]])
IMAGE_SIZE = (30, 100)
POINTS = 50


def write_release(
    root: Path, version: str, split: str, scans: int = 2, *, images: bool = False, labels: bool = True
) -> Release:
    """Write every scene of ``split`` with some scans of random points and random ids; return the description."""
    release = load_release(version)
    scenes = release.splits[split]
    listed = isinstance(scenes, str)
    for scene in ("00000", "00003") if listed else scenes:
        for number in range(scans):
            write_scan(root, release, split, scene, f"{number:06d}", images=images, labels=labels)
        if release.calibration is not None:
            folder = root / release.calibration.format(scene=scene)
            rows = {"P0": P2, "P1": P2, "P2": P2, "P3": P2, "Tr": TR}
            text = "".join(f"{name}: {' '.join(map(repr, rows[name].ravel().tolist()))}\n" for name in rows)
            (folder / "calib.txt").write_text(text)
            pose = "1 0 0 0 0 1 0 0 0 0 1 {}\n"
            (folder / "poses.txt").write_text("".join(pose.format(number) for number in range(scans)))
            (folder / "times.txt").write_text("".join(f"{number / 10:e}\n" for number in range(scans)))
    if listed:
        lines = [path.relative_to(root).as_posix() for path in sorted(root.rglob(f"*{release.points.suffix}"))]
        (root / str(scenes)).write_text("".join(f"{line} labels-are-found-otherwise\n" for line in reversed(lines)))
    return release


def write_scan(root: Path, release: Release, split: str, scene: str, name: str, *, images: bool, labels: bool) -> None:
    """Write one scan."""
    rng = np.random.default_rng([len(scene), int(name)])
    points = rng.uniform(-20, 20, (POINTS, release.points.columns)).astype("<f4")
    points[:, 3] = rng.uniform(0, release.points.intensity_max, POINTS)
    ids = rng.choice([number for members in release.classes.values() for number in members], POINTS)
    save(root / release.points.folder.format(scene=scene) / f"{name}{release.points.suffix}", points)
    if labels:
        raw = ids.astype("<u4")
        if release.labels.suffix == ".label":
            raw |= rng.integers(0, 3, POINTS).astype("<u4") << 16
        save(root / release.label_folder(split).format(scene=scene) / f"{name}{release.labels.suffix}", raw)
    if images and release.images is not None:
        path = root / release.images.format(scene=scene) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*IMAGE_SIZE, 3), dtype=np.uint8)).save(path)


def save(path: Path, values: np.ndarray) -> None:
    """Write an array as the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        values.tofile(path)
