"""CMCR: contrast, and besides it what only one modality holds (arXiv:2412.08973), in the order of the paper's figure.

Every term has a weight; one of weight 0 is left out, and what it alone would use is not built. The paper's argument
is a row of option sets, each of which adds to the one above it until all is on, which is the default:

    contrastive only                 masks: {probability: 0}  codebook: null  replace_masked: false  weights: all but
                                     info_nce 0, that is {reconstruction: 0, occupancy: 0, intensity: 0,
                                     orthogonality_points: 0, orthogonality_pixels: 0, kl: 0}
    + masked image modelling         without masks, and without reconstruction: 0
    + occupancy and intensity        without occupancy: 0 and intensity: 0
    + codebook                       without codebook: null
    + geometry-enhanced replacement  without replace_masked: false
    + KL and orthogonality           {}

As the released code:  masks: {lose_pairs: true}  replace_masked: false  weights: {orthogonality_pixels: 0, kl: 0}
occupancy: {max_neighbours: 32, queries: {min_range_m: 0}, head: {relu_before_output: false}}  across_processes: false

Shapes: I images, N matched points and pixels, V voxels, C channels; 3 stands for points, 2 for pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from cmcr.data.batches import PairBatch
from cmcr.data.image_masks import ImageMaskOptions, black_out, draw_image_masks, unmasked_pairs
from cmcr.data.occupancy_queries import OccupancyQueries, draw_occupancy_queries, places_alone
from cmcr.errors import CMCRError
from cmcr.evaluation.occupancy import OccupancyAccuracy
from cmcr.losses.code_matching import code_matching
from cmcr.losses.codebook import Codebook, CodebookOptions
from cmcr.losses.commitment import commitment
from cmcr.losses.image_reconstruction import error_inside_masks, image_reconstruction
from cmcr.losses.info_nce import info_nce
from cmcr.losses.kl_bottleneck import GaussianBottleneck
from cmcr.losses.occupancy import Meetings, OccupancyOptions, estimate_occupancy, meet, occupancy_losses
from cmcr.losses.orthogonality import orthogonality
from cmcr.models.feature_replacement import replace_masked_features
from cmcr.models.image_decoder import ImageDecoder, decoded_size
from cmcr.models.occupancy_head import OccupancyHead
from cmcr.options import Options, Weight
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step
from cmcr.pretrain.views import Matched, Rebuilt, Shows, Survey
from cmcr.processes import gathered_over_processes

ACCURACY_EVERY = 8  # The logged occupancy accuracy is that of every eighth query: enough for a curve.

Part = TypeVar("Part", bound=nn.Module)


class CMCRWeights(Options):
    """Weight of each term, under the name it is logged with; 0 leaves it out. The defaults are the released ones."""

    info_nce: Weight = 1.0
    """A point resembles its own pixel more than others."""
    orthogonality_points: Weight = 0.1
    """Shared apart from specific features, of the voxels."""
    orthogonality_pixels: Weight = 0.1
    """The same of the cells of the encoder's map. (In the figure; not in the released code: 0.)"""
    commitment_points: Weight = 1.0
    """Points stay near their codes; none without a codebook."""
    commitment_pixels: Weight = 1.0
    """Pixels stay near their codes; none without a codebook."""
    matching: Weight = 1.0
    """Points spread over the codes as their pixels do; none without a codebook."""
    reconstruction: Weight = 1.0
    """The image before it was masked."""
    occupancy: Weight = 1.0
    """What is occupied around the points."""
    intensity: Weight = 1.0
    """The intensity of the returns around the points."""
    kl: Weight = 1e-3
    """Nats per point that the specific features of points carry. (In the figure; not in the released code: 0. Chosen
    here, so that the term starts near 0.1.)"""


class CMCROptions(Options):
    """Options of CMCR; the defaults are those of the figure with the weights of the released code."""

    channels: Annotated[int, Field(gt=0, multiple_of=4)] = 64
    """Width C of shared and specific features; a multiple of 4, for the image decoder."""
    temperature: PositiveFloat = 0.07
    """Temperature of the contrast."""
    num_pairs: PositiveInt = 2048
    """Unmasked pairs drawn from a batch, for the contrast and for the codebook alike."""
    masks: ImageMaskOptions = ImageMaskOptions()
    """What is blacked out of the images; ``{probability: 0}`` is nothing."""
    codebook: CodebookOptions | None = CodebookOptions()
    """The unified codebook; null leaves it out with its three terms, and unquantised features take the place of Q."""
    commitment_cost: PositiveFloat = 0.25
    """Factor b of both commitment terms."""
    replace_masked: bool = True
    """Whether masked pixels are reconstructed from the features of the points that project to them (released: no)."""
    decoder_divisor: PositiveInt = 1
    """The image is rebuilt at its height and width divided by this (released: 1); it has to divide them and the patch
    size. At 2, reconstruction costs a quarter."""
    occupancy: OccupancyOptions = OccupancyOptions()
    """Where and whom occupancy and intensity are asked."""
    weights: CMCRWeights = CMCRWeights()
    """Weights of the terms."""
    across_processes: bool = True
    """Whether contrast, matching and orthogonality are those of the pairs and voxels of all processes (released: no,
    each device its own). They then are what one device with their batch would minimise, were it given these pairs; but
    each device draws ``num_pairs`` of its own."""

    @model_validator(mode="after")
    def _can_work(self) -> CMCROptions:
        if self.masks.patch_size_px % self.decoder_divisor:
            found = f"decoder_divisor {self.decoder_divisor}, masks.patch_size_px {self.masks.patch_size_px}"
            raise ValueError(f"{found}: the one must divide the other, so that what is rebuilt is masked or not")
        of_codebook = set() if self.codebook else {"commitment_points", "commitment_pixels", "matching"}
        if not any(weight for name, weight in self.weights if name not in of_codebook):
            raise ValueError("weights are all 0, so there is nothing to learn")
        return self


class CMCR(PretrainMethod):
    """Shared features F meet in a contrast and in one codebook; specific features G help to rebuild each modality."""

    id, label = "cmcr", "CMCR"
    source = Source(paper="arXiv:2412.08973", code="Eaphan/CMCR@36654d5:pretrain/lightning_trainer.py")
    Options = CMCROptions
    options: CMCROptions

    def __init__(self, options: CMCROptions, channels: Channels):
        super().__init__(options, channels)
        width, weights = options.channels, options.weights
        estimates = weights.occupancy > 0 or weights.intensity > 0
        point_specific = estimates or weights.orthogonality_points > 0 or weights.kl > 0
        pixel_specific = weights.reconstruction > 0 or weights.orthogonality_pixels > 0
        self.needs_pixels = weights.reconstruction > 0 or options.masks.probability > 0
        # Heads are 1x1, for each voxel and each cell of the encoder's map, which is upsampled behind them.
        self.point_shared = nn.Linear(channels.points, width)
        self.pixel_shared = nn.Conv2d(channels.image, width, 1)
        self.point_specific = nn.Linear(channels.points, width) if point_specific else None
        self.pixel_specific = nn.Conv2d(channels.image, width, 1) if pixel_specific else None
        self.decoder = ImageDecoder(width) if weights.reconstruction else None
        self.bottleneck = GaussianBottleneck(width) if weights.kl else None
        self.occupancy_head = OccupancyHead(width, options.occupancy.head) if estimates else None
        # Seeded by torch's generator, as the weights of the layers above are drawn.
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.codebook = Codebook(options.codebook, width, options.num_pairs, generator) if options.codebook else None

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Return the terms, in the order of the figure; their equations stand where each is imported from."""
        options, weights, found = self.options, self.options.weights, dict[str, Tensor]()
        masks_IHW, image_ICHW = self.look(step)
        shared3_VC = F.normalize(self.point_shared(step.voxel_VC), dim=1)
        shared2_ICHW = self.pixel_shared(image_ICHW)
        pairs, points_NC, pixels_NC = self.draw_pairs(step, masks_IHW, shared3_VC, shared2_ICHW)
        step.log["distinct_points"] = torch.tensor(float(len(pairs.point.unique())))
        if weights.info_nce:
            found["info_nce"] = info_nce(self.of_all(points_NC), self.of_all(pixels_NC), options.temperature)

        quantised3_VC = self.quantise(shared3_VC)
        if self.pixel_specific is not None:
            specific2_ICHW = self.pixel_specific(image_ICHW)
            if weights.orthogonality_pixels:
                found["orthogonality_pixels"] = self.apart(_unit_rows(shared2_ICHW), _unit_rows(specific2_ICHW))
            if self.decoder is not None:
                quantised2_ICHW = self.replace(step, masks_IHW, shared2_ICHW, quantised3_VC)
                rebuilt = self.decode(self.decoder, step, masks_IHW, specific2_ICHW, quantised2_ICHW)
                found["reconstruction"] = self.compare(step, rebuilt)
        if self.point_specific is not None:
            specific3_VC = self.point_specific(step.voxel_VC)
            if weights.orthogonality_points:
                found["orthogonality_points"] = self.apart(shared3_VC, F.normalize(specific3_VC, dim=1))
            if self.bottleneck is not None:
                specific3_VC, found["kl"] = self.bottleneck(specific3_VC, step.generator)
            if self.occupancy_head is not None:
                found |= self.estimate(self.occupancy_head, step, specific3_VC + quantised3_VC)
        if self.codebook is not None:  # last, because it moves the codes
            found |= self.align(self.codebook, step, points_NC, pixels_NC)
        return {name: weight * found[name] for name, weight in weights if weight and name in found}

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:
        """Return the shared features F3D, of length one, and the specific features G3D."""
        heads = {"shared": F.normalize(self.point_shared(voxel_VC), dim=1)}
        return heads if self.point_specific is None else heads | {"specific": self.point_specific(voxel_VC)}

    def pixel_heads(self, image_ICHW: Tensor) -> dict[str, Tensor]:
        """Return the shared features, whose length is made one after upsampling, and the specific features G2D."""
        heads = {"shared": self.pixel_shared(image_ICHW)}
        return heads if self.pixel_specific is None else heads | {"specific": self.pixel_specific(image_ICHW)}

    def of_all(self, rows_NC: Tensor) -> Tensor:
        """Return the rows of all processes, or this process's own if the options say so."""
        return gathered_over_processes(rows_NC, self.options.across_processes)

    def apart(self, shared_NC: Tensor, specific_NC: Tensor) -> Tensor:
        """Hold the shared features apart from the specific ones of the same points or pixels."""
        return orthogonality(self.of_all(shared_NC), self.of_all(specific_NC))

    def look(self, step: Step, options: ImageMaskOptions | None = None) -> tuple[Tensor, Tensor]:
        """Return the (I, H, W) mask of what is blacked out, and the encoder's (I, C, h, w) features of the rest."""
        batch, options = step.batch, options or self.options.masks
        number = len(step.image_ICHW if batch.images is None else batch.images)
        masks_IHW = draw_image_masks(number, batch.image_size, options, step.generator)
        masks_IHW = masks_IHW.to(step.voxel_VC.device)
        if not masks_IHW.any():
            return masks_IHW, step.image_ICHW
        images = black_out(step.pixels_I3HW, masks_IHW)
        return masks_IHW, step.encode_changed(images, masks_IHW.flatten(1).any(dim=1))

    def draw_pairs(
        self, step: Step, masks_IHW: Tensor, shared3_VC: Tensor, shared2_ICHW: Tensor
    ) -> tuple[PairBatch, Tensor, Tensor]:
        """Draw pairs whose pixels can be seen; return them with the shared features of points and pixels, (N, C)."""
        pairs = unmasked_pairs(step.pairs, masks_IHW, self.options.masks, step.batch.tokens)
        pairs = pairs.sample(self.options.num_pairs, step.generator)
        pixels_NC = F.normalize(step.pixels_at(pairs, shared2_ICHW), dim=1)
        return pairs, shared3_VC[step.batch.voxel_P[pairs.point]], pixels_NC

    def quantise(self, shared: Tensor) -> Tensor:
        """Return Q of (..., C) shared features of length one."""
        return shared if self.codebook is None else self.codebook.quantise(shared)

    def replace(self, step: Step, masks_IHW: Tensor, shared_ICHW: Tensor, quantised3_VC: Tensor) -> Tensor:
        """Return Q2D at the decoder's resolution, with Q3D at the masked pixels that points project to."""
        batch, divisor, point = step.batch, self.options.decoder_divisor, step.pairs.point
        shared_ICHW = F.normalize(_upsampled(shared_ICHW, decoded_size(batch.image_size, divisor)), dim=1)
        quantised_ICHW = self.quantise(shared_ICHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if not self.options.replace_masked:
            return quantised_ICHW
        pairs, masks_Ihw = step.pairs.on_coarser_images(divisor), masks_IHW[:, ::divisor, ::divisor]
        point_NC, range_N = quantised3_VC[batch.voxel_P[point]], batch.points_P4[point, :3].norm(dim=1)
        return replace_masked_features(quantised_ICHW, point_NC, pairs, range_N, masks_Ihw)

    def decode(
        self, decoder: ImageDecoder, step: Step, masks_IHW: Tensor, specific_ICHW: Tensor, quantised_ICHW: Tensor
    ) -> Rebuilt:
        """Rebuild the images from G2D and Q2D, at the decoder's resolution."""
        divisor = self.options.decoder_divisor
        rebuilt_I3hw = decoder(_upsampled(specific_ICHW, quantised_ICHW.shape[-2:]), quantised_ICHW)
        return Rebuilt(masks_IHW[:, ::divisor, ::divisor], rebuilt_I3hw, F.avg_pool2d(step.pixels_I3HW, divisor))

    def compare(self, step: Step, rebuilt: Rebuilt) -> Tensor:
        """Hold the reconstruction against the unmasked image, and log its error where nothing could be copied."""
        error_I = error_inside_masks(rebuilt.rebuilt_I3hw, rebuilt.target_I3hw, rebuilt.masks_Ihw)
        step.log["error_inside_masks"] = error_I.nanmean()
        return image_reconstruction(rebuilt.rebuilt_I3hw, rebuilt.target_I3hw)

    def estimate(self, head: OccupancyHead, step: Step, features_VC: Tensor) -> dict[str, Tensor]:
        """Occupancy and intensity, asked of G3D + Q3D; the queries turn with the points."""
        queries = self.draw_queries(step)
        meetings = self.meet(step, queries)
        answers_Q2 = estimate_occupancy(head, features_VC, meetings.of_every(ACCURACY_EVERY))
        score = OccupancyAccuracy()
        score.update(answers_Q2[:, 0], queries.occupied_Q)
        step.log["occupancy_accuracy"] = features_VC.new_tensor(score.accuracy)
        return occupancy_losses(head, features_VC, meetings)

    def draw_queries(self, step: Step) -> OccupancyQueries:
        """Draw places on the rays of the scans."""
        batch = step.batch
        return draw_occupancy_queries(batch.points_P4, batch.scan_P, self.options.occupancy.queries, step.generator)

    def meet(self, step: Step, queries: OccupancyQueries) -> Meetings:
        """Find the points that are asked."""
        batch = step.batch
        return meet(queries, batch.points_P4, batch.scan_P, batch.voxel_P, self.options.occupancy)

    def align(self, codebook: Codebook, step: Step, points_NC: Tensor, pixels_NC: Tensor) -> dict[str, Tensor]:
        """One codebook for both modalities: commitment, matching and, in training, the codes' own step."""
        code3_NC, code2_NC = codebook.nearest(points_NC), codebook.nearest(pixels_NC)
        cost = self.options.commitment_cost
        losses = {
            "commitment_points": commitment(points_NC, code3_NC, code2_NC, cost),
            "commitment_pixels": commitment(pixels_NC, code2_NC, code3_NC, cost),
        }
        if self.options.weights.matching:
            points_NK, pixels_NK = (codebook.distances(self.of_all(rows_NC)) for rows_NC in (points_NC, pixels_NC))
            losses["matching"] = code_matching(points_NK, pixels_NK)
        if self.training:
            try:
                use = codebook.update(points_NC, pixels_NC)
            except ValueError as error:
                raise CMCRError(f"{error}\n  scans:    {', '.join(step.batch.tokens)}") from None
            step.log.update({f"codebook_{name}": value for name, value in use._asdict().items()})
        return losses

    @classmethod
    def shows(cls, options: CMCROptions) -> Shows:  # type: ignore[override]
        """Say what there is to see: masked images if any are masked and rebuilt, occupancy if it is estimated."""
        masks, weights = options.masks, options.weights
        return Shows(
            pairs=True,
            codes=options.codebook.codes if options.codebook else 0,
            reconstruction=weights.reconstruction > 0 and masks.probability > 0 and masks.ratio > 0,
            occupancy=weights.occupancy > 0,
        )

    def match(self, step: Step) -> Matched:
        """Return pairs as training draws them, and their codes."""
        masks_IHW, image_ICHW = self.look(step)
        shared3_VC = self.point_heads(step.voxel_VC)["shared"]
        pairs, *both = self.draw_pairs(step, masks_IHW, shared3_VC, self.pixel_shared(image_ICHW))
        if self.codebook is None:
            return Matched(pairs, None)
        return Matched(pairs, torch.stack([self.codebook.assign(one_NC) for one_NC in both]))

    def rebuild(self, step: Step) -> Rebuilt:
        """Mask every image, and rebuild it with the help of the points."""
        masks_IHW, image_ICHW = self.look(step, self.options.masks.model_copy(update={"probability": 1.0}))
        features = self.pixel_heads(image_ICHW)
        quantised3_VC = self.quantise(self.point_heads(step.voxel_VC)["shared"])
        quantised2_ICHW = self.replace(step, masks_IHW, features["shared"], quantised3_VC)
        return self.decode(_built(self.decoder), step, masks_IHW, features["specific"], quantised2_ICHW)

    def survey(self, step: Step) -> Survey:
        """Return queries as training draws them; who answers is G3D + Q3D, without the noise of training."""
        head, features = _built(self.occupancy_head), self.point_heads(step.voxel_VC)
        features_VC, queries = features["specific"] + self.quantise(features["shared"]), self.draw_queries(step)

        def ask(position_Q3: Tensor, scan_Q: Tensor) -> Tensor:
            return estimate_occupancy(head, features_VC, self.meet(step, places_alone(position_Q3, scan_Q)))

        intensity_Q = step.batch.points_P4[queries.return_Q, 3] if self.options.weights.intensity else None
        return Survey(queries.position_Q3, queries.scan_Q, queries.occupied_Q, queries.near_Q, intensity_Q, ask)


def _upsampled(map_ICHW: Tensor, size: Sequence[int]) -> Tensor:
    # As `sample_pixels` reads maps. Of a divided image, border pixels are off by half the divisor, inner ones by less.
    return F.interpolate(map_ICHW, list(size), mode="bilinear", align_corners=True)


def _unit_rows(map_ICHW: Tensor) -> Tensor:
    return F.normalize(map_ICHW.permute(0, 2, 3, 1).flatten(0, 2), dim=1)


def _built(part: Part | None) -> Part:
    if part is None:
        raise ValueError("the options leave out what is to be shown; `shows` says so")
    return part
