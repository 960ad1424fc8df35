"""The official submission formats of semantic segmentation: where each scan's predictions go, and as what numbers.

nuScenes lidarseg, as nuscenes-devkit 1.2.0 reads it (nuscenes/eval/lidarseg/validate_submission.py and evaluate.py):

    <output>/lidarseg/<split>/<token of the sweep>_lidarseg.bin    uint8 class 1..16 of each point, in the sweep's order
    <output>/<split>/submission.json                               what the method uses as input

SemanticKITTI, as semantic-kitti-api reads it (evaluate_semantics.py, validate_submission.py); its relatives likewise:

    <output>/sequences/<sequence>/predictions/<scan>.label         uint32 annotated id of each point
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cmcr.data.index import ScanIndex, ScanRecord
from cmcr.data.releases import release_of
from cmcr.files import write_json

#: What a prediction takes as input: the sweep alone, whatever the backbone was pre-trained with.
META = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}


class Submission(Protocol):
    """One format."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """Return the file of a scan's predictions, below the submission's folder."""
        ...

    def numbers(self, record: ScanRecord, classes_P: NDArray[np.int64]) -> NDArray[Any]:
        """Return what stands in it for the (P,) predicted classes."""
        ...

    def finish(self, index: ScanIndex, output: Path) -> None:
        """Write what a complete submission has besides."""
        ...


class Lidarseg:
    """nuScenes; a folder with its JSON file in it is complete."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:
        """See `Submission.path`."""
        return f"lidarseg/{index.split}/{record.token}_lidarseg.bin"

    def numbers(self, record: ScanRecord, classes_P: NDArray[np.int64]) -> NDArray[np.uint8]:  # noqa: ARG002
        """See `Submission.numbers`."""
        return classes_P.astype(np.uint8)

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `Submission.finish`."""
        write_json(output / index.split / "submission.json", {"meta": META})


class SemanticKitti:
    """SemanticKITTI and what is stored like it: classes go back to the first annotated id of each."""

    def path(self, index: ScanIndex, record: ScanRecord) -> str:  # noqa: ARG002
        """See `Submission.path`."""
        return f"sequences/{record.scene}/predictions/{PurePosixPath(record.lidar).stem}.label"

    def numbers(self, record: ScanRecord, classes_P: NDArray[np.int64]) -> NDArray[np.uint32]:
        """See `Submission.numbers`."""
        return release_of(record.layout).id_of_class[classes_P].astype("<u4")

    def finish(self, index: ScanIndex, output: Path) -> None:
        """See `Submission.finish`; there is nothing besides."""


#: By the reader of a data set.
SUBMISSIONS: dict[str, Submission] = {"nuscenes": Lidarseg(), "semantic_kitti": SemanticKitti()}
