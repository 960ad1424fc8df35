"""How many scans and scenes a split has, known before its data are there."""

from __future__ import annotations

from typing import NamedTuple

from cmcr.config import DatasetOptions


class SplitSize(NamedTuple):
    """Numbers of scans and of the scenes (or sequences) that they come from."""

    scans: int
    scenes: int


#: Official splits by format, release and name. "Printed" numbers are those of works that use the data set; its authors'
#: own text was not read for them. They serve a forecast alone: a run counts what is there.
OFFICIAL = {
    # 850 scenes with labels, 700 of them to train on (arXiv:1903.11027); scans are keyframes: 34,149 with lidarseg
    # labels, 28,130 and 6,019 (nuScenes-lidarseg's page); panoptic labels are of the same.
    ("nuscenes", "v1.0-trainval", "train"): SplitSize(28130, 700),
    ("nuscenes", "v1.0-trainval", "val"): SplitSize(6019, 150),
    # Scenes: nuscenes-devkit, ``nuscenes/utils/splits.py``; its 404 keyframes are 323 and 81.
    ("nuscenes", "v1.0-mini", "mini_train"): SplitSize(323, 8),
    ("nuscenes", "v1.0-mini", "mini_val"): SplitSize(81, 2),
    # 23,201 scans to train on, those of sequence 08, 4,071, among them, and 20,351 to test on (arXiv:1904.01416).
    ("semantic_kitti", "semantic_kitti", "train"): SplitSize(19130, 10),
    ("semantic_kitti", "semantic_kitti", "val"): SplitSize(4071, 1),
    ("semantic_kitti", "semantic_kitti", "test"): SplitSize(20351, 11),
    # The same scans (arXiv:2203.08537).
    ("semantic_kitti", "scribble_kitti", "train"): SplitSize(19130, 10),
    ("semantic_kitti", "scribble_kitti", "val"): SplitSize(4071, 1),
    # 13,556 scans of five sequences, each cut into all three lists (unmannedlab/RELLIS-3D, README.md); printed.
    ("semantic_kitti", "rellis_3d", "train"): SplitSize(7800, 5),
    ("semantic_kitti", "rellis_3d", "val"): SplitSize(2413, 5),
    ("semantic_kitti", "rellis_3d", "test"): SplitSize(3343, 5),
    # 2,988 scans of six sequences (arXiv:2002.09147): five of 500, and 05 of 488; printed.
    ("semantic_kitti", "semantic_poss", "train"): SplitSize(2488, 5),
    ("semantic_kitti", "semantic_poss", "val"): SplitSize(500, 1),
    # 2,076 scans (arXiv:2304.00690); printed. A split is one folder.
    ("semantic_kitti", "semantic_stf", "train"): SplitSize(1326, 1),
    ("semantic_kitti", "semantic_stf", "val"): SplitSize(250, 1),
    ("semantic_kitti", "semantic_stf", "test"): SplitSize(500, 1),
    # 798 and 202 segments (arXiv:1912.04838); frames as TensorFlow Datasets counts them.
    ("waymo", "1.4", "training"): SplitSize(158081, 798),
    ("waymo", "1.4", "validation"): SplitSize(39987, 202),
    # Frames with labels of points; printed.
    ("waymo", "1.4", "training_labelled"): SplitSize(23691, 798),
    ("waymo", "1.4", "validation_labelled"): SplitSize(5976, 202),
    # The split of 7,481 frames that detectors are compared on (OpenPCDet@8caccce, data/kitti/ImageSets); every frame
    # counts as a scene.
    ("kitti", "training", "train"): SplitSize(3712, 3712),
    ("kitti", "training", "val"): SplitSize(3769, 3769),
}

#: Why no number of the others is known, by format and release.
UNKNOWN = {
    ("semantic_kitti", "semantic_kitti_mini"): "any number of scans may be here",
    ("semantic_kitti", "synlidar"): "no official split is published; in all 198,396 scans, or a tenth of them",
    ("semantic_kitti", "synth4d_kitti"): "the towns' scans are not published; in all about 20,000",
    ("semantic_kitti", "synth4d_nuscenes"): "the towns' scans are not published; in all about 20,000",
    ("semantic_kitti", "daps_1"): "its authors print 19,061 and more than 23,000 for all sequences",
    ("semantic_kitti", "daps_2"): "the sequences' scans are not published; in all 109",
}


def split_size(dataset: DatasetOptions, split: str) -> SplitSize | None:
    """Return the size of a data set's split: of the toy city as configured, else from `OFFICIAL`; None if unknown."""
    if dataset.toy is None:
        return OFFICIAL.get((dataset.format, dataset.version, split))
    scenes = dataset.toy.train_scenes if split == dataset.splits.train else dataset.toy.validation_scenes
    scans = scenes * dataset.toy.keyframes
    return SplitSize(scans, scans if dataset.format == "kitti" else scenes)


def why_unknown(dataset: DatasetOptions) -> str:
    """Return why the sizes of a data set's splits are not known beforehand."""
    return UNKNOWN.get((dataset.format, dataset.version), "no official number is known")
