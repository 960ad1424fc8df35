"""The official submission formats: where each scan's predictions go, and as what numbers.

nuScenes, as nuscenes-devkit 1.2.0 reads it (nuscenes/eval/lidarseg/validate_submission.py and evaluate.py,
nuscenes/eval/panoptic/evaluate.py):

    <output>/lidarseg/<split>/<token of the sweep>_lidarseg.bin    uint8 class 1..16 of each point, in the sweep's order
    <output>/panoptic/<split>/<token of the sweep>_panoptic.npz    uint16 1000 * class + instance, as the array ``data``
    <output>/<split>/submission.json                               what the method uses as input
    <output>/<split>/results_nusc.json                             all boxes of the split (nuscenes/eval/detection)

SemanticKITTI, as semantic-kitti-api reads it (evaluate_semantics.py, evaluate_panoptic.py); its relatives likewise:

    <output>/sequences/<sequence>/predictions/<scan>.label         uint32 annotated id of each point, instance << 16

KITTI's object benchmark, as its development kit's readme has it; a submission is a zip archive of these files:

    <output>/<frame>.txt                                           a line for each box, with its score
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_labels import write_objects
from cmcr.data.releases import release_of
from cmcr.data.scan_record import ScanRecord
from cmcr.evaluation.kitti_detection import detected_objects
from cmcr.evaluation.nuscenes_submission import META, write_nuscenes_submission
from cmcr.files import atomic_path, write_json
from cmcr.tasks.panoptic import PanopticPrediction
from cmcr.tasks.panoptic_files import nuscenes_labels, semantic_kitti_labels


class Submission(Protocol):
    """One format for one task."""

    def write_all(self, index: ScanIndex, predictions: Iterable[tuple[ScanRecord, Any]], output: Path) -> None:
        """Write what the task's ``predict`` returned for each scan of a split, below the submission's folder."""
        ...


class FilePerScan(ABC):
    """A format that has a file for each scan."""

    def write_all(self, index: ScanIndex, predictions: Iterable[tuple[ScanRecord, Any]], output: Path) -> None:
        """See `Submission.write_all`; each file is written atomically."""
        for record, prediction in predictions:
            with atomic_path(output / self.path(index, record)) as temporary:
                self.write(temporary, index, record, prediction)
        # Last, so that what it writes says that the folder is complete.
        self.finish(index, output)

    @abstractmethod
    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """Return the file of a scan's predictions, below the submission's folder."""

    @abstractmethod
    def write(self, path: Path, index: ScanIndex, record: ScanRecord, prediction: Any) -> None:
        """Write what the task's ``predict`` returned for a scan."""

    def finish(self, index: ScanIndex, output: Path) -> None:  # noqa: B027
        """Write what a complete submission has besides; nothing, unless the format says otherwise."""


class Lidarseg(FilePerScan):
    """Classes on nuScenes; a folder with its JSON file in it is complete."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """See `FilePerScan.path`."""
        return f"lidarseg/{index.split}/{record.token}_lidarseg.bin"

    def write(self, path: Path, index: ScanIndex, record: ScanRecord, prediction: Tensor) -> None:  # noqa: ARG002
        """See `FilePerScan.write`."""
        path.write_bytes(prediction.cpu().numpy().astype(np.uint8).tobytes())

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `FilePerScan.finish`."""
        write_json(output / index.split / "submission.json", {"meta": META})


class NuScenesPanoptic(FilePerScan):
    """Classes and instances on nuScenes."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """See `FilePerScan.path`."""
        return f"panoptic/{index.split}/{record.token}_panoptic.npz"

    def write(
        self,
        path: Path,
        index: ScanIndex,  # noqa: ARG002
        record: ScanRecord,
        prediction: PanopticPrediction,
    ) -> None:
        """See `FilePerScan.write`."""
        with path.open("wb") as file:
            np.savez_compressed(file, data=nuscenes_labels(record.token, prediction.class_P, prediction.instance_P))

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `FilePerScan.finish`."""
        write_json(output / index.split / "submission.json", {"meta": {**META, "task": "segmentation"}})


class SemanticKitti(FilePerScan):
    """SemanticKITTI and what is stored like it: classes go back to the first annotated id of each."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:  # noqa: ARG002
        """See `FilePerScan.path`."""
        return f"sequences/{record.scene}/predictions/{PurePosixPath(record.lidar).stem}.label"

    def write(self, path: Path, index: ScanIndex, record: ScanRecord, prediction: Tensor) -> None:  # noqa: ARG002
        """See `FilePerScan.write`."""
        path.write_bytes(release_of(record.layout).id_of_class[prediction.cpu().numpy()].astype("<u4").tobytes())


class SemanticKittiPanoptic(SemanticKitti):
    """The same with instances."""

    def write(  # type: ignore[override]
        self,
        path: Path,
        index: ScanIndex,  # noqa: ARG002
        record: ScanRecord,
        prediction: PanopticPrediction,
    ) -> None:
        """See `FilePerScan.write`."""
        categories_P = release_of(record.layout).id_of_class[prediction.class_P]
        path.write_bytes(
            semantic_kitti_labels(record.token, categories_P, prediction.instance_P).astype("<u4").tobytes()
        )


class KittiDetection(FilePerScan):
    """Boxes on KITTI's object benchmark; those that the camera does not see are left out, as the benchmark asks."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:  # noqa: ARG002
        """See `FilePerScan.path`."""
        return f"{record.token}.txt"

    def write(self, path: Path, index: ScanIndex, record: ScanRecord, prediction: Sequence[Detections]) -> None:
        """See `FilePerScan.write`."""
        (found,) = prediction
        write_objects(path, detected_objects(index, record, found))


class NuScenesDetection:
    """Boxes on nuScenes: one file for the whole split, which is held in memory until then."""

    def write_all(
        self, index: ScanIndex, predictions: Iterable[tuple[ScanRecord, Sequence[Detections]]], output: Path
    ) -> None:
        """See `Submission.write_all`."""
        found = {record.token: prediction[0] for record, prediction in predictions}
        write_nuscenes_submission(output / index.split / "results_nusc.json", index, found)


#: By the reader of a data set and the task.
SUBMISSIONS: dict[tuple[str, str], Submission] = {
    ("nuscenes", "segmentation"): Lidarseg(),
    ("nuscenes", "panoptic"): NuScenesPanoptic(),
    ("nuscenes", "detection"): NuScenesDetection(),
    ("semantic_kitti", "segmentation"): SemanticKitti(),
    ("semantic_kitti", "panoptic"): SemanticKittiPanoptic(),
    ("kitti", "detection"): KittiDetection(),
}
