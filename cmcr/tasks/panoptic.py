"""Panoptic segmentation, bottom-up as in Panoptic-PolarNet (arXiv:2103.14962): classes, centres, offsets, grouping.

V voxels, P points, N instances, K classes with the ignored one, C backbone channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from torch import Tensor

from cmcr.data.batches import Batch
from cmcr.data.index import ScanIndex
from cmcr.data.scan import IGNORE, VOID
from cmcr.errors import ConfigError, DataError
from cmcr.evaluation.panoptic_quality import PanopticQuality
from cmcr.losses.centres import HeatmapLoss, centre_heatmap, heatmap_loss, offset_loss
from cmcr.losses.segmentation import segmentation_losses
from cmcr.models.backbone import Backbone
from cmcr.models.panoptic_head import PanopticHead, PanopticHeadOptions, PanopticOutput
from cmcr.options import Options as AnyOptions
from cmcr.options import Weight
from cmcr.results.scores import Metric
from cmcr.tasks.grouping import find_peaks, group_points
from cmcr.tasks.task import Task, percent_metric

#: By reader: points that a segment needs to be an error where it has no partner (nuscenes-devkit 1.2.0,
#: eval/panoptic/evaluate.py; semantic-kitti-api, evaluate_panoptic.py).
MIN_POINTS = {"nuscenes": 15, "semantic_kitti": 50}


def _odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("a window has a middle, so its side is odd")
    return number


class PanopticOptions(AnyOptions):
    """How instances are learned, found and counted.

    Values of Panoptic-PolarNet are those of edwardzhou130/Panoptic-PolarNet, configs/SemanticKITTI_model.
    """

    head: PanopticHeadOptions = PanopticHeadOptions()
    """Size of the head."""
    sigma_m: PositiveFloat = 0.5
    """Standard deviation of a centre's hill in the heatmap, in metres (Panoptic-PolarNet: 5 polar cells)."""
    heatmap_loss: HeatmapLoss = "mse"
    """Squared error, or CenterNet's focal loss (Panoptic-PolarNet: squared error)."""
    heatmap_weight: Weight = 0.1
    """Factor of the heatmap's loss, which is a sum per instance (chosen on the toy city, where a larger one
    costs mIoU; Panoptic-PolarNet: 100 on a mean over cells)."""
    offset_weight: Weight = 0.5
    """Factor of the offsets' loss, in metres (chosen on the toy city; Panoptic-PolarNet: 10, in polar cells)."""
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """A centre's heat is above this (Panoptic-PolarNet: 0.1)."""
    nms_kernel: Annotated[PositiveInt, AfterValidator(_odd)] = 5
    """Side in cells of the window in which a centre is the hottest (Panoptic-PolarNet: 5)."""
    max_instances: PositiveInt = 500
    """Centres of a scan at most, the hottest (Panoptic-PolarNet: 100; a scan of a crowd has more)."""
    reach_m: PositiveFloat = 3.0
    """Points that vote for a place farther than this from every centre join no instance (chosen here)."""
    min_points: PositiveInt | None = None
    """Points that an unmatched segment needs to count against its class; null: 15 on nuScenes, 50 on SemanticKITTI."""


class PanopticPrediction(NamedTuple):
    """Segments of a batch: points of one scan that share class and instance."""

    class_P: NDArray[np.int64]
    """Never the ignored class."""
    instance_P: NDArray[np.int64]
    """Numbered from 1 within the scan; 0 for stuff, and for points of things that no centre claims."""


class PanopticTask(Task):
    """A class for each point, and an instance for each point of a thing.

    The losses are taken on voxels, each labelled by the point that stands for it. An instance's centre is the mean of
    all its points, seen from above. To decode, every point takes class and centre from its voxel.
    """

    Options: ClassVar[type[AnyOptions]] = PanopticOptions

    def __init__(
        self,
        channels: int,
        class_names: tuple[str, ...],
        things: tuple[int, ...],
        options: PanopticOptions,
        min_points: int,
    ):
        """Build a head on ``channels`` features; the classes ``things`` have instances."""
        super().__init__()
        self.class_names, self.options, self.min_points = class_names, options, min_points
        self.things_K = np.isin(np.arange(len(class_names)), things)
        self.head = PanopticHead(channels, len(class_names), options.head)
        self.reset()

    @classmethod
    def build(cls, backbone: Backbone, index: ScanIndex, options: AnyOptions) -> PanopticTask:
        """See `Task.build`.

        Raises:
            ConfigError: the data set has no things, or nobody knows the smallest segment of its format.
        """
        assert isinstance(options, PanopticOptions)
        if not index.thing_classes:
            raise ConfigError(f"{index.dataset}: none of its classes has instances; choose another task for it")
        min_points = options.min_points or MIN_POINTS.get(index.reader)
        if min_points is None:
            raise ConfigError(
                f"tasks.panoptic.{index.dataset}.options.min_points\n  expected: a number, because only "
                f"{', '.join(MIN_POINTS)} have a default\n  found:    null, and data of the format {index.reader}"
            )
        return cls(backbone.out_channels, index.class_names, index.thing_classes, options, min_points)

    @classmethod
    def check(cls, index: ScanIndex, positions: Sequence[int]) -> None:
        """See `Task.check`; every scan needs instances too."""
        super().check(index, positions)
        # Where instances have no file of their own, as on SemanticKITTI, only a scan can tell that they are there.
        without_file = [place for place in positions if index.records[place].panoptic is None]
        if without_file and index.read(without_file[0]).instances is None:
            raise DataError(
                f"{index.root}: split {index.split} of {index.dataset} has no panoptic labels\n"
                f"  expected: on nuScenes {index.version}/panoptic.json and its files, a download of their own\n"
                "  way out:  add them, and the index is made again"
            )

    def forward(self, features: Tensor, batch: Batch) -> PanopticOutput:
        """See `PanopticHead`."""
        xy_V2, scan_V = batch.points_P4[batch.first_V, :2], batch.scan_P[batch.first_V]
        return self.head(features, xy_V2, scan_V, len(batch.tokens))

    def losses(self, output: PanopticOutput, batch: Batch) -> dict[str, Tensor]:
        """Return ``cross_entropy``, ``lovasz``, ``heatmap``, and ``offset``, which is taken on voxels of things."""
        labels_P, instances_P = _labels(batch)
        options = self.options
        instance_P, centre_N2, scan_N = self._true_centres(labels_P, instances_P, batch)
        target_BSS = centre_heatmap(centre_N2, scan_N, len(batch.tokens), options.head.grid, options.sigma_m)
        instance_V = instance_P[batch.first_V]
        is_thing_V = instance_V >= 0
        true_offset_M2 = centre_N2[instance_V[is_thing_V]] - batch.points_P4[batch.first_V, :2][is_thing_V]
        losses = segmentation_losses(output.class_VK, labels_P[batch.first_V])
        losses["heatmap"] = options.heatmap_weight * heatmap_loss(output.heat_BSS, target_BSS, options.heatmap_loss)
        losses["offset"] = options.offset_weight * offset_loss(output.offset_V2[is_thing_V], true_offset_M2)
        return losses

    def _true_centres(self, labels_P: Tensor, instances_P: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return (P,) int64 instance of each point, -1 for none; (N, 2) their centres in metres; (N,) their scans."""
        things_K = torch.from_numpy(self.things_K).to(labels_P.device)
        thing_M = (things_K[labels_P] & (instances_P > 0)).nonzero()[:, 0]
        kind_M = batch.scan_P[thing_M] * len(self.class_names) + labels_P[thing_M]
        key_N, instance_M, count_N = torch.unique(
            (kind_M << 32) + instances_P[thing_M], return_inverse=True, return_counts=True
        )
        sum_N2 = torch.zeros(len(key_N), 2, dtype=torch.float64, device=labels_P.device)
        sum_N2.index_add_(0, instance_M, batch.points_P4[thing_M, :2].double())
        instance_P = torch.full_like(labels_P, -1)
        instance_P[thing_M] = instance_M
        scan_N = (key_N >> 32) // len(self.class_names)
        return instance_P, (sum_N2 / count_N[:, None]).float(), scan_N

    @torch.no_grad()
    def predict(self, output: PanopticOutput, batch: Batch) -> PanopticPrediction:
        """Return the segments of every scan of the batch."""
        classes_V = (output.class_VK[:, IGNORE + 1 :].argmax(dim=1) + IGNORE + 1).cpu().numpy()
        vote_V2 = (batch.points_P4[batch.first_V, :2] + output.offset_V2).cpu().numpy()
        heat_BSS = output.heat_BSS.sigmoid().float().cpu().numpy()
        voxel_P, scan_P = batch.voxel_P.cpu().numpy(), batch.scan_P.cpu().numpy()
        found = [
            self.group(classes_V[voxel_P[scan_P == scan]], vote_V2[voxel_P[scan_P == scan]], heat_SS)
            for scan, heat_SS in enumerate(heat_BSS)
        ]
        return PanopticPrediction(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def group(
        self, class_P: NDArray[np.int64], vote_P2: NDArray[np.float32], heat_SS: NDArray[np.float32]
    ) -> PanopticPrediction:
        """Group the points of one scan, given their classes, the centres they vote for in metres, and the heatmap."""
        options = self.options
        peak_N = find_peaks(heat_SS, options.threshold, options.nms_kernel, options.max_instances)
        centre_N2 = options.head.grid.centre_of(torch.from_numpy(peak_N)).numpy()
        return PanopticPrediction(*group_points(class_P, vote_P2, centre_N2, self.things_K, options.reach_m))

    def reset(self) -> None:
        """Begin to count anew."""
        things = np.flatnonzero(self.things_K).tolist()
        self.counted = PanopticQuality(len(self.class_names), things, self.min_points)

    def update(self, output: PanopticOutput, batch: Batch) -> None:
        """Count the batch's scans, one by one."""
        labels_P, instances_P = (values.cpu().numpy() for values in _labels(batch))
        prediction, scan_P = self.predict(output, batch), batch.scan_P.cpu().numpy()
        for scan in range(len(batch.tokens)):
            mine = scan_P == scan
            self.counted.update(
                prediction.class_P[mine], prediction.instance_P[mine], labels_P[mine], instances_P[mine]
            )

    def counts(self) -> NDArray[np.float64]:
        """See `Task.counts`."""
        return self.counted.counts

    def metrics(self) -> list[Metric]:
        """Return PQ, SQ and RQ over all classes, over things and over stuff, PQ-dagger and mIoU; then each class."""
        quality, counted = self.counted.quality, self.counted
        groups = {"": counted.things | counted.stuff, "_things": counted.things, "_stuff": counted.stuff}
        means = {
            f"{name}{suffix}": getattr(quality, name)[members].mean()
            for suffix, members in groups.items()
            for name in ("pq", "sq", "rq")
        }
        means |= {"pq_dagger": counted.pq_dagger(), "miou": quality.iou[groups[""]].mean()}
        reason = "no such class in this data set"
        rows = [percent_metric(name, "all", float(value), reason) for name, value in means.items()]
        for number, class_name in enumerate(self.class_names):
            if number != IGNORE:
                rows += [
                    percent_metric(name, class_name, float(getattr(quality, name)[number]), reason)
                    for name in ("pq", "sq", "rq", "iou")
                ]
        return rows


def _labels(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (P,) classes and (P,) instances of a batch; what the panoptic labels leave out is ignored."""
    if batch.labels_P is None or batch.instances_P is None:
        raise ValueError("panoptic segmentation needs labels and instances; this batch has not both")
    left_out_P = batch.instances_P == VOID
    return batch.labels_P.masked_fill(left_out_P, IGNORE), batch.instances_P.clamp(min=0)
