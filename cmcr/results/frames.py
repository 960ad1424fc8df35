"""The statistics of each validation scan, kept beside the scores, for how sure a difference between two methods is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from cmcr.checkpoints import read_metadata, read_tensors, save_tensors
from cmcr.errors import ScoresError, WeightsError
from cmcr.options import Options


class FramesRecord(Options):
    """Which run the statistics are of."""

    task: str
    """What was learned."""
    dataset: str
    """Data set that it was learned and scored on."""
    pretrain_dataset: str
    """Data set of pre-training."""
    method: str
    """Id of the method that made the backbone."""
    protocol: Literal["linear_probe", "finetune"]
    """Frozen backbone, or all weights."""
    label_percent: float
    """Share of the training labels."""
    seed: int
    """Seed of the run."""
    toy: bool
    """Whether it is the toy city."""
    split: str
    """Split that was scored."""
    index_checksum: str
    """Of the index of its scans, in whose order the rows are."""


@dataclass(frozen=True, eq=False)
class FrameCounts:
    """Statistics of one run.

    Attributes:
        record: whose.
        counts_FK: (F, K) float64, a row for each scan that adds up with the others, as
            `cmcr.evaluation.frame_counts` of the task takes them; one row for all scans where nothing adds up.
    """

    record: FramesRecord
    counts_FK: NDArray[np.float64]


def write_frames(path: Path | str, frames: FrameCounts) -> None:
    """Write as safetensors, atomically."""
    save_tensors(path, {"counts": torch.from_numpy(frames.counts_FK)}, {"frames": frames.record.model_dump_json()})


def read_frames(path: Path | str) -> FrameCounts:
    """Read what `write_frames` wrote.

    Raises:
        ScoresError: the file is missing, damaged, or something else.
    """
    try:
        record = FramesRecord.model_validate_json(read_metadata(path).get("frames", ""))
        counts_FK = read_tensors(path)["counts"]
    except WeightsError as error:
        raise ScoresError(str(error)) from None
    except (ValidationError, KeyError):
        raise ScoresError(
            f"{path}\n  expected: statistics of validation scans as `cmcr finetune` writes them\n"
            "  found:    no record of their run, or one of another version\n  way out:  fine-tune again"
        ) from None
    if counts_FK.ndim != 2 or 0 in counts_FK.shape or counts_FK.dtype != torch.float64:
        found = f"{counts_FK.dtype} {tuple(counts_FK.shape)}"
        raise ScoresError(f"{path}\n  expected: (F, K) numbers\n  found:    {found}")
    # A metric that is no sum over scans stands there itself, one number, and has no value where nothing was counted.
    if not counts_FK.isfinite().all() and counts_FK.numel() > 1:
        raise ScoresError(f"{path}\n  expected: finite numbers\n  found:    others\n  way out:  fine-tune again")
    return FrameCounts(record, counts_FK.numpy())
