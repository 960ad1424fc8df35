"""The official submission formats: where each scan's predictions go, and as what numbers.

nuScenes, as nuscenes-devkit 1.2.0 reads it (nuscenes/eval/lidarseg/validate_submission.py and evaluate.py,
nuscenes/eval/panoptic/evaluate.py):

    <output>/lidarseg/<split>/<token of the sweep>_lidarseg.bin    uint8 class 1..16 of each point, in the sweep's order
    <output>/panoptic/<split>/<token of the sweep>_panoptic.npz    uint16 1000 * class + instance, as the array ``data``
    <output>/<split>/submission.json                               what the method uses as input

SemanticKITTI, as semantic-kitti-api reads it (evaluate_semantics.py, evaluate_panoptic.py); its relatives likewise:

    <output>/sequences/<sequence>/predictions/<scan>.label         uint32 annotated id of each point, instance << 16
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from cmcr.data.index import ScanIndex, ScanRecord
from cmcr.data.releases import release_of
from cmcr.files import write_json
from cmcr.tasks.panoptic import PanopticPrediction
from cmcr.tasks.panoptic_files import nuscenes_labels, semantic_kitti_labels

#: What a prediction takes as input: the sweep alone, whatever the backbone was pre-trained with.
META = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}


class Submission(Protocol):
    """One format for one task."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """Return the file of a scan's predictions, below the submission's folder."""
        ...

    def write(self, path: Path, record: ScanRecord, prediction: Any) -> None:
        """Write what the task's ``predict`` returned for a scan."""
        ...

    def finish(self, index: ScanIndex, output: Path) -> None:
        """Write what a complete submission has besides."""
        ...


class Lidarseg:
    """Classes on nuScenes; a folder with its JSON file in it is complete."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """See `Submission.path`."""
        return f"lidarseg/{index.split}/{record.token}_lidarseg.bin"

    def write(self, path: Path, record: ScanRecord, prediction: Tensor) -> None:  # noqa: ARG002
        """See `Submission.write`."""
        path.write_bytes(prediction.cpu().numpy().astype(np.uint8).tobytes())

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `Submission.finish`."""
        write_json(output / index.split / "submission.json", {"meta": META})


class NuScenesPanoptic:
    """Classes and instances on nuScenes."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """See `Submission.path`."""
        return f"panoptic/{index.split}/{record.token}_panoptic.npz"

    def write(self, path: Path, record: ScanRecord, prediction: PanopticPrediction) -> None:
        """See `Submission.write`."""
        with path.open("wb") as file:
            np.savez_compressed(file, data=nuscenes_labels(record.token, prediction.class_P, prediction.instance_P))

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `Submission.finish`."""
        write_json(output / index.split / "submission.json", {"meta": {**META, "task": "segmentation"}})


class SemanticKitti:
    """SemanticKITTI and what is stored like it: classes go back to the first annotated id of each."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:  # noqa: ARG002
        """See `Submission.path`."""
        return f"sequences/{record.scene}/predictions/{PurePosixPath(record.lidar).stem}.label"

    def write(self, path: Path, record: ScanRecord, prediction: Tensor) -> None:
        """See `Submission.write`."""
        path.write_bytes(release_of(record.layout).id_of_class[prediction.cpu().numpy()].astype("<u4").tobytes())

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `Submission.finish`; there is nothing besides."""


class SemanticKittiPanoptic(SemanticKitti):
    """The same with instances."""

    def write(self, path: Path, record: ScanRecord, prediction: PanopticPrediction) -> None:  # type: ignore[override]
        """See `Submission.write`."""
        categories_P = release_of(record.layout).id_of_class[prediction.class_P]
        path.write_bytes(
            semantic_kitti_labels(record.token, categories_P, prediction.instance_P).astype("<u4").tobytes()
        )


#: By the reader of a data set and the task.
SUBMISSIONS: dict[tuple[str, str], Submission] = {
    ("nuscenes", "segmentation"): Lidarseg(),
    ("nuscenes", "panoptic"): NuScenesPanoptic(),
    ("semantic_kitti", "segmentation"): SemanticKitti(),
    ("semantic_kitti", "panoptic"): SemanticKittiPanoptic(),
}
