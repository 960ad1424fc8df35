"""A frame in KITTI's layout, invented: a flat ground, one car ahead and one pedestrian, round numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

#: (width, height)
IMAGE_SIZE = (400, 120)
P2 = "700 0 200 42 0 700 60 0.5 0 0 1 0.003"
R0 = "0.9999 0.01 0 -0.01 0.9999 0 0 0 1"
TR = "0 -1 0 0.02 0 0 -1 -0.08 1 0 0 -0.27"
LABELS = (
    "Car 0.00 0 -1.57 180.00 60.00 220.00 110.00 1.50 1.60 3.90 0.00 1.70 20.00 -1.57",
    "Van 0.00 0 -1.57 180.00 60.00 220.00 110.00 2.00 1.80 4.50 3.00 1.70 30.00 -1.57",
    "DontCare -1 -1 -10 10.00 10.00 20.00 20.00 -1 -1 -1 -1000 -1000 -1000 -10",
)


def calibration(**matrices: str) -> str:
    """Return a calibration file, some of its matrices replaced or, if empty, left out."""
    every = {"P0": P2, "P2": P2, "R0_rect": R0, "Tr_velo_to_cam": TR, "Tr_imu_to_velo": TR} | matrices
    return "".join(f"{name}: {text}\n" for name, text in every.items() if text)


def write_frame(root: Path, frame: str = "000003") -> None:
    """Write one frame of ``training``."""
    folder = root / "training"
    for name in ("velodyne", "image_2", "calib", "label_2"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int(frame))
    points = rng.uniform([-40, -20, -2, 0], [60, 20, 1, 1], size=(500, 4)).astype("<f4")
    points.tofile(folder / "velodyne" / f"{frame}.bin")
    Image.fromarray(rng.integers(0, 256, (*IMAGE_SIZE[::-1], 3), dtype=np.uint8)).save(
        folder / "image_2" / f"{frame}.png"
    )
    (folder / "calib" / f"{frame}.txt").write_text(calibration())
    (folder / "label_2" / f"{frame}.txt").write_text("\n".join(LABELS) + "\n")


def write_split(root: Path, split: str, *frames: str) -> None:
    """List ``frames`` as a split."""
    (root / "ImageSets").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / f"{split}.txt").write_text("".join(f"{frame}\n" for frame in frames))
