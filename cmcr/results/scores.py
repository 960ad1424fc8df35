"""``scores.json``: the record of one run, which says itself what was measured, on what, by what and how.

The file carries a checksum of its own content, so that a number changed by hand is noticed before it reaches a table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from cmcr.errors import ScoresError
from cmcr.files import sha256_of_json, write_json

SCHEMA_VERSION: Final[Literal[1]] = 1

#: Ids stand in file names and in wildcards of rules.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
#: One line of free text.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]
Percent = Annotated[int | float, Field(gt=0, le=100)]


class Record(BaseModel):
    """Closed and immutable: an unknown field or a value of another type is an error, and so is NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Metric(Record):
    """One number, or the reason why there is none."""

    # ``class`` cannot be an argument's name in Python.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    metric: Id
    """``miou``, ``fwiou``, ``iou``, ..."""
    class_name: Line = Field(validation_alias="class", serialization_alias="class")
    """The class it was measured on, ``all`` for a mean over classes."""
    value: FiniteFloat | None
    """In percent."""
    higher_is_better: bool
    unit: Literal["percent"] = "percent"
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
    content = scores.model_dump(mode="json")
    write_json(path, {**content, "checksum": sha256_of_json(content)})


def read_scores(path: Path | str) -> Scores:
    """Read and check a file written by `write_scores`.

    Raises:
        ScoresError: the file is missing, no JSON, of another schema version, has a field too few or too many or of
            the wrong kind, or its content does not fit its checksum.
    """
    path = Path(path)
    content = _read_object(path)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ScoresError(
            f"{path}\n  expected: schema_version {SCHEMA_VERSION}\n  found:    {version!r}\n"
            "  way out:  read it with the version of this project that wrote it, or run the job again"
        )
    checksum = content.pop("checksum", None)
    try:
        scores = Scores.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the record"
        raise ScoresError(
            f"{path}: {field}: {first['msg']} ({error.error_count()} problem(s) in all)\n"
            "  way out:  delete the file and run the job again"
        ) from error
    expected = sha256_of_json(content)
    if checksum != expected:
        raise ScoresError(
            f"{path}: the content does not fit the file's own checksum, so it was edited after the run\n"
            f"  expected: {expected}\n  found:    {checksum}\n"
            "  way out:  delete the file and run the job again"
        )
    return scores


def _read_object(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ScoresError(f"{path}: {constant} is not a score; a missing number is null with a reason")

    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError as error:
        raise ScoresError(f"{path}: no such scores file\n  way out:  run the job that makes it") from error
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        raise ScoresError(
            f"{path}: not a JSON file: {error}\n  way out:  delete the file and run the job again"
        ) from error
    if not isinstance(content, dict):
        raise ScoresError(f"{path}\n  expected: a JSON object\n  found:    {type(content).__name__}")
    return content
