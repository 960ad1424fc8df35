"""``held_out.json``: what a pre-trained network measures on scans it never saw, a flat mapping from name to number."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from cmcr.results.records import SCHEMA_VERSION, Id, Record, read_record, write_record
from cmcr.results.scores import Provenance

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
    write_record(path, held_out)


def read_held_out(path: Path | str) -> HeldOut:
    """Read a file written by `write_held_out`.

    Raises:
        ScoresError: see `read_record`.
    """
    return read_record(path, HeldOut, "measures")
