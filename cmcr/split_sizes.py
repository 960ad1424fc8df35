"""How many scans and scenes a split has, known before its data are there."""

from __future__ import annotations

from typing import NamedTuple

from cmcr.config import DatasetOptions


class SplitSize(NamedTuple):
    """Numbers of scans and of the scenes (or sequences) that they come from."""

    scans: int
    scenes: int


#: Official splits by format, release and name. nuScenes: 850 scenes with labels, 700 of them to train on
#: (arXiv:1903.11027); scans are keyframes: 34,149 with lidarseg labels, 28,130 and 6,019 (nuScenes-lidarseg's page).
#: Scenes of v1.0-mini: nuscenes-devkit, ``nuscenes/utils/splits.py``; its 404 keyframes are 323 and 81.
OFFICIAL = {
    ("nuscenes", "v1.0-trainval", "train"): SplitSize(28130, 700),
    ("nuscenes", "v1.0-trainval", "val"): SplitSize(6019, 150),
    ("nuscenes", "v1.0-mini", "mini_train"): SplitSize(323, 8),
    ("nuscenes", "v1.0-mini", "mini_val"): SplitSize(81, 2),
}


def split_size(dataset: DatasetOptions, split: str) -> SplitSize | None:
    """Return the size of a data set's split: of the toy city as configured, else from `OFFICIAL`; None if unknown."""
    if dataset.toy is None:
        return OFFICIAL.get((dataset.format, dataset.version, split))
    scenes = dataset.toy.train_scenes if split == dataset.splits.train else dataset.toy.validation_scenes
    return SplitSize(scenes * dataset.toy.keyframes, scenes)
