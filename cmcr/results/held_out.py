"""``held_out.json``: what a pre-trained network measures on scans it never saw, a flat mapping from name to number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from cmcr.errors import ScoresError
from cmcr.files import write_json
from cmcr.results.scores import Id, Provenance, Record

SCHEMA_VERSION: Final[Literal[1]] = 1

#: Every measure that a file can hold. A method has those of what it can show.
MEASURES = {
    "sampled_pairs": "pairs drawn from one scan as a step of training draws them, mean over the scans",
    "distinct_points": "different points among them, mean over the scans",
    "codebook_perplexity_points": "exp of the entropy of the codes that points pick, over the pairs of all scans",
    "codebook_perplexity_pixels": "the same of pixels",
    "codebook_agreement": "share of these pairs whose point and pixel pick the same code",
    "codebook_used_share": "share of the codes that any of them picks",
    "codebook_codes": "number of codes",
    "training_codebook_perplexity_points": "perplexity within a batch, mean over the last tenth of training's log",
    "training_codebook_perplexity_pixels": "the same of pixels",
    "error_inside_masks": "squared error of masked pixels, colours in [0, 1], mean over images that all are masked",
    "error_inside_masks_mean_colour": "the same if each mask is filled with the mean colour of what can be seen",
    "occupancy_accuracy": "share of held-out queries answered rightly, of those that meet a point",
    "occupancy_majority_share": "the same for always giving the more frequent answer",
    "intensity_l1": "absolute error of intensities in [0, 1] at queries near a return, each answer a mean over points",
    "intensity_l1_median": "the same for always answering the median",
}


class HeldOut(Record):
    """The measures of one pre-training on one split."""

    schema_version: Literal[1] = SCHEMA_VERSION
    dataset: Id
    split: Id
    method: Id
    seed: NonNegativeInt
    toy: bool
    """Whether the data are invented."""
    num_scans: PositiveInt
    """Scans that were measured, spread evenly over the split."""
    measures: dict[Id, FiniteFloat | None] = Field(min_length=1)
    """By the names of `MEASURES`; null where there was nothing to measure."""
    provenance: Provenance


def write_held_out(path: Path | str, held_out: HeldOut) -> None:
    """Write the measures, atomically."""
    write_json(path, held_out.model_dump(mode="json"))


def read_held_out(path: Path | str) -> HeldOut:
    """Read a file written by `write_held_out`.

    Raises:
        ScoresError: the file is missing, no JSON, or its content is not what it should be.
    """
    fix = "delete the file and measure again"
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        return HeldOut.model_validate(content)
    except FileNotFoundError:
        raise ScoresError(f"{path}: no such file of held-out measures\n  way out:  run the job that makes it") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the record"
        raise ScoresError(
            f"{path}: {field}: {first['msg']} ({error.error_count()} problem(s) in all)\n  way out:  {fix}"
        ) from None
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        raise ScoresError(f"{path}: not a JSON file: {error}\n  way out:  {fix}") from None
