"""A pre-trained network before scans it never saw: what it was trained to do, and how well it does it there.

Everything runs in evaluation mode on scans as they come, neither augmented nor cropped. What is drawn at random depends
on the seed of the pre-training and the scan's position alone.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cmcr.compute import prepare
from cmcr.data.batches import ScanDataset, collate
from cmcr.data.index import ScanIndex
from cmcr.errors import ConfigError, DataError
from cmcr.evaluation.occupancy import OccupancyAccuracy
from cmcr.files import sha256_of_json
from cmcr.losses.image_reconstruction import error_inside_masks
from cmcr.models.backbone import Backbone, BackboneRecord, load_backbone, point_features
from cmcr.models.image_encoder import ImageEncoder
from cmcr.pretrain.course import end_of_course, read_course
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.learned import METHOD_FILE, load_method
from cmcr.pretrain.method import PretrainMethod, Step
from cmcr.pretrain.views import Matched, Rebuilt, Shows, Survey
from cmcr.progress import progress
from cmcr.results.held_out import HeldOut
from cmcr.results.provenance import collect_provenance, git_state

logger = logging.getLogger(__name__)

#: Scans that are measured at most, spread evenly over the split: enough, as each has thousands of queries and pixels.
MOST_SCANS = 20


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Backbone, method and image encoder after training, and the scans they are shown."""

    job: PretrainJob
    backbone: Backbone
    method: PretrainMethod
    record: BackboneRecord
    encoder: ImageEncoder | None
    scans: ScanDataset

    @classmethod
    def load(
        cls,
        job: PretrainJob,
        method_class: type[PretrainMethod],
        weights: Path,
        index: ScanIndex,
        encoder: ImageEncoder | None,
    ) -> Pretrained:
        """Read what a pre-training left behind, the method's own weights from beside the backbone's.

        Args:
            job: the pre-training.
            method_class: its plug-in's class.
            weights: its backbone.
            index: a split that it was not trained on.
            encoder: its frozen image encoder; None for a method without images.

        Raises:
            WeightsError: weights are missing, damaged, or do not fit the job.
            ConfigError: they are another pre-training's, or ``index`` is what it was trained on.
        """
        prepare(job.compute, job.seed)
        backbone, record = load_backbone(weights, job.backbone, job.voxels)
        record.check(weights, method=job.method, seed=job.seed)
        record.check_unseen(weights, index)
        method = load_method(weights.parent / METHOD_FILE, method_class)
        images = job.images.model_copy(update={"crop": None}) if method_class.needs_images else None
        scans = ScanDataset(index, range(len(index)), job.voxels, images=images, with_labels=False)
        device = job.compute.device
        if encoder is not None:
            encoder.to(device)
        return cls(job, backbone.to(device).eval(), method.to(device), record, encoder, scans)

    @property
    def shows(self) -> Shows:
        """What the method can show."""
        return self.method.shows(self.method.options)

    @torch.no_grad()
    def step(self, position: int) -> Step:
        """Return what the method is handed of one scan.

        Raises:
            DataError: there is no such scan, or a file of it is missing or damaged.
        """
        index = self.scans.index
        if not 0 <= position < len(self.scans):
            raise DataError(f"{index.dataset}, split {index.split}: no scan {position}; there are {len(index)}, from 0")
        batch = collate([self.scans[position]]).to(self.job.compute.device)
        # Of a family of its own: training counts its steps from the same seed.
        generator = torch.Generator().manual_seed((self.job.seed + 1) * 1_000_003 - 1 - position)
        return Step(batch, point_features(self.backbone, batch), self.encode, generator)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Run the frozen image encoder on (I, 3, H, W) images."""
        if self.encoder is None:
            raise ValueError(f"{self.job.method} asks for image features, but was given no image encoder")
        return self.encoder(images)


def measure_held_out(pretrained: Pretrained, course: Path, dataset: str, *, toy: bool) -> HeldOut:
    """Measure what the method can show on at most `MOST_SCANS` scans.

    Args:
        pretrained: network and scans.
        course: ``metrics.csv`` of the pre-training, for how it used its codes in the end.
        dataset: id of the data set.
        toy: whether the data are invented.

    Raises:
        ConfigError: the method shows nothing.
        DataError: there is no scan, or ``course`` is missing or damaged.
    """
    started, code = time.monotonic(), git_state()
    shows, job, index = pretrained.shows, pretrained.job, pretrained.scans.index
    if not any(shows):
        raise ConfigError(f"{job.method}: with its options there is nothing to measure on held-out scans")
    if not len(index):
        raise DataError(f"{index.dataset}, split {index.split}: there is no scan to measure on")
    measures = Measures(shows)
    positions = spread_evenly(len(index), MOST_SCANS)
    for position in progress(positions, len(positions), "measuring scan", logger):
        measures.update(pretrained, position)
    values = measures.values()
    if shows.codes:
        end = end_of_course(read_course(course), course, ["codebook_perplexity_points", "codebook_perplexity_pixels"])
        values |= {f"training_{name}": value for name, value in end.items()}
    record = pretrained.record
    return HeldOut(
        dataset=dataset,
        split=index.split,
        method=job.method,
        seed=job.seed,
        toy=toy,
        num_scans=len(positions),
        # What has no number, such as the error inside masks of no pixel, is left out by name and not by accident.
        measures={name: value if math.isfinite(value) else None for name, value in values.items()},
        provenance=collect_provenance(
            config_hash=record.config_hash,
            data_checksum=sha256_of_json([record.data_checksum, index.checksum]),
            code=code,
            started=started,
            threads=job.compute.threads,
        ),
    )


def spread_evenly(length: int, most: int) -> list[int]:
    """Return at most ``most`` positions among ``length``, evenly spread from the first."""
    number = min(length, most)
    return [place * length // number for place in range(number)]


@dataclass
class Measures:
    """Sums over scans, and the numbers that come of them."""

    shows: Shows
    occupancy: OccupancyAccuracy = field(default_factory=OccupancyAccuracy)
    counts_2K: Tensor = field(init=False)
    same_code: int = 0
    pairs: list[int] = field(default_factory=list)
    distinct: list[int] = field(default_factory=list)
    errors: list[Tensor] = field(default_factory=list)
    plain_errors: list[Tensor] = field(default_factory=list)
    intensity: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts_2K = torch.zeros(2, self.shows.codes, dtype=torch.int64)

    @torch.no_grad()
    def update(self, pretrained: Pretrained, position: int) -> None:
        """Add one scan."""
        method = pretrained.method
        # A step each: what one of them draws must not depend on whether the others are there.
        if self.shows.pairs or self.shows.codes:
            self.add_matched(method.match(pretrained.step(position)))
        if self.shows.reconstruction:
            self.add_rebuilt(method.rebuild(pretrained.step(position)))
        if self.shows.occupancy:
            self.add_survey(method.survey(pretrained.step(position)))

    def add_matched(self, matched: Matched) -> None:
        """Count pairs, their points, and the codes that both sides pick."""
        self.pairs.append(len(matched.pairs))
        self.distinct.append(len(matched.pairs.point.unique()))
        if matched.codes_2N is not None:
            codes_2N = matched.codes_2N.cpu()
            self.counts_2K += torch.stack([codes_N.bincount(minlength=self.shows.codes) for codes_N in codes_2N])
            self.same_code += int((codes_2N[0] == codes_2N[1]).sum())

    def add_rebuilt(self, rebuilt: Rebuilt) -> None:
        """Add the errors of the images, and those of filling each mask with the mean colour of what can be seen."""
        masks_Ihw, target_I3hw = rebuilt.masks_Ihw, rebuilt.target_I3hw
        self.errors.append(error_inside_masks(rebuilt.rebuilt_I3hw, target_I3hw, masks_Ihw).cpu())
        self.plain_errors.append(error_inside_masks(mean_colour(target_I3hw, masks_Ihw), target_I3hw, masks_Ihw).cpu())

    def add_survey(self, survey: Survey) -> None:
        """Ask about occupancy and, near returns, about intensity."""
        answers_Q2 = survey.ask(survey.position_Q3, survey.scan_Q)
        self.occupancy.update(answers_Q2[:, 0], survey.occupied_Q)
        if survey.intensity_Q is not None:
            asked_Q = survey.near_Q & ~answers_Q2[:, 1].isnan()
            self.intensity.append(torch.stack([answers_Q2[asked_Q, 1], survey.intensity_Q[asked_Q]]).cpu())

    def values(self) -> dict[str, float]:
        """Return all numbers by name; see `cmcr.results.held_out.MEASURES` for what each is."""
        found: dict[str, float] = {}
        if self.pairs:
            found["sampled_pairs"] = sum(self.pairs) / len(self.pairs)
            found["distinct_points"] = sum(self.distinct) / len(self.distinct)
        if self.shows.codes:
            shares_2K = self.counts_2K / self.counts_2K.sum(dim=1, keepdim=True)
            points, pixels = torch.special.entr(shares_2K).sum(dim=1).exp().tolist()
            found["codebook_perplexity_points"], found["codebook_perplexity_pixels"] = points, pixels
            found["codebook_agreement"] = self.same_code / max(sum(self.pairs), 1)
            found["codebook_used_share"] = float((self.counts_2K.sum(dim=0) > 0).float().mean())
            found["codebook_codes"] = float(self.shows.codes)
        if self.errors:
            found["error_inside_masks"] = float(torch.cat(self.errors).nanmean())
            found["error_inside_masks_mean_colour"] = float(torch.cat(self.plain_errors).nanmean())
        if self.shows.occupancy:
            found["occupancy_accuracy"] = self.occupancy.accuracy
            found["occupancy_majority_share"] = self.occupancy.majority
        if self.intensity:
            answer_Q, truth_Q = torch.cat(self.intensity, dim=1)
            found["intensity_l1"] = float((answer_Q - truth_Q).abs().mean())
            found["intensity_l1_median"] = (
                float((truth_Q - truth_Q.median()).abs().mean()) if len(truth_Q) else math.nan
            )
        return found


def mean_colour(images_I3hw: Tensor, masks_Ihw: Tensor) -> Tensor:
    """Return the (I, 3, h, w) images with all pixels of the mean colour of those that are not masked."""
    seen_I1hw = ~masks_Ihw[:, None]
    total_I3 = (images_I3hw * seen_I1hw).sum(dim=(2, 3))
    mean_I3 = total_I3 / seen_I1hw.sum(dim=(2, 3)).clamp(min=1)
    return mean_I3[:, :, None, None].expand_as(images_I3hw)
