"""``scores.json``: the record of one run, which says itself what was measured, on what, by what and how.

The file carries a checksum of its own content, so that a number changed by hand is noticed before it reaches a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from cmcr.results.records import SCHEMA_VERSION, Id, Line, Record, read_record, write_record

Percent = Annotated[int | float, Field(gt=0, le=100)]


class Metric(Record):
    """One number, or the reason why there is none."""

    # ``class`` cannot be an argument's name in Python.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    metric: Id
    """``miou``, ``fwiou``, ``iou``, ..."""
    class_name: Line = Field(validation_alias="class", serialization_alias="class")
    """The class it was measured on, ``all`` for a mean over classes."""
    value: FiniteFloat | None
    higher_is_better: bool
    unit: Literal["percent", "m", "rad", "m/s", "share"] = "percent"
    """Of the value; a share is in [0, 1]. All are percent but the errors of detections, which are printed otherwise."""
    reason: Line | None = None
    """Why ``value`` is null; null where there is a value."""

    @model_validator(mode="after")
    def _value_or_reason(self) -> Metric:
        if (self.value is None) == (self.reason is None):
            raise ValueError("expected either a value or, if it is null, the reason")
        return self


class Hardware(Record):
    """What the run was computed on."""

    cpu: str
    cores: PositiveInt
    threads: PositiveInt
    """Of each process."""
    devices: PositiveInt = 1
    """That shared the training, each with a process of its own."""
    gpu: str
    """Name of the device, or ``none``."""
    platform: str


class Provenance(Record):
    """Where a run's numbers come from. Only config hash and commit reach ``scores.tsv``, nothing of it the tables."""

    config_hash: Line
    data_checksum: Line
    git_commit: Line
    """Commit of the checkout that the package was imported from, or ``not a checkout``."""
    dirty: bool
    """Whether that checkout's code differed from the commit."""
    packages: dict[str, str]
    hardware: Hardware
    wall_time_s: NonNegativeFloat
    peak_memory_mb: NonNegativeFloat


class Scores(Record):
    """The metrics of one trained network on one split of one data set."""

    schema_version: Literal[1] = SCHEMA_VERSION
    task: Literal["segmentation", "detection", "panoptic"]
    dataset: Id
    split: Id
    num_frames: PositiveInt
    """Frames of the split, all of which were evaluated."""
    pretrain_dataset: Id
    """``none`` for a method without pre-training."""
    method: Id
    protocol: Literal["linear_probe", "finetune"]
    label_percent: Percent
    label_scans: PositiveInt
    """Labelled scans that the share comes down to."""
    seed: NonNegativeInt
    toy: bool
    """Whether the data are invented."""
    metrics: list[Metric] = Field(min_length=1)
    variants: dict[Id, FiniteFloat] = Field(default_factory=dict)
    """Headline metric of variants that were tried beside the one reported, in percent."""
    provenance: Provenance

    @model_validator(mode="after")
    def _each_metric_once(self) -> Scores:
        names = [(metric.metric, metric.class_name) for metric in self.metrics]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"metric {twice[0][0]} of class {twice[0][1]} is given {names.count(twice[0])} times")
        return self


def write_scores(path: Path | str, scores: Scores) -> None:
    """Write ``scores`` with the checksum of its content, atomically."""
    write_record(path, scores)


def read_scores(path: Path | str) -> Scores:
    """Read and check a file written by `write_scores`.

    Raises:
        ScoresError: the file is missing, no JSON, of another schema version, has a field too few or too many or of
            the wrong kind, or its content does not fit its checksum.
    """
    return read_record(path, Scores, "scores")
