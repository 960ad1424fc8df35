"""3D object detection on a VoxelNet, with the head of SECOND or of CenterPoint.

B scans, C x H x W the map from above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from cmcr.boxes.detections import Detections
from cmcr.data.box_classes import BOX_CLASSES
from cmcr.data.box_sampling import BoxDatabase, BoxSamplingOptions
from cmcr.data.detection_batches import DetectionBatch, DetectionDataset, DetectionSample, collate_detection
from cmcr.data.index import ScanIndex
from cmcr.data.range_grid import RangeGrid
from cmcr.errors import ConfigError, DataError
from cmcr.evaluation.kitti_detection import KittiDetectionScore
from cmcr.evaluation.nuscenes_detection import NuScenesDetectionScore
from cmcr.evaluation.waymo_detection import WaymoDetectionScore
from cmcr.models.anchor_head import AnchorHeadOptions
from cmcr.models.backbone import VOXELNET, Backbone, NetworkName
from cmcr.models.bev import BevOptions
from cmcr.models.second import HeadOptions, Second
from cmcr.models.voxelnet import VoxelNet
from cmcr.options import Options as AnyOptions
from cmcr.results.scores import Metric
from cmcr.tasks.job import FinetuneJob
from cmcr.tasks.task import Task


class DetectionScore(Protocol):
    """The official count of one format. It is made of a split's index and the names of the classes.

    Attributes:
        words: for captions, what ``map`` means.
    """

    words: ClassVar[str]

    def __init__(self, index: ScanIndex, classes: Sequence[str]): ...

    def update(self, token: str, found: Detections) -> None:
        """Count what was found in one scan."""
        ...

    def metrics(self) -> list[Metric]:
        """Return all metrics, first ``map`` over all classes; ``ap`` is that of a class."""
        ...


#: By the reader of a data set.
SCORES: dict[str, type[DetectionScore]] = {
    "kitti": KittiDetectionScore,
    "nuscenes": NuScenesDetectionScore,
    "waymo": WaymoDetectionScore,
}


#: Names for print, by the kind of the head.
DETECTORS = {"second": "SECOND", "centre": "CenterPoint"}


class DetectionOptions(AnyOptions):
    """The detector on the VoxelNet, and how it is trained; the defaults are SECOND's on KITTI."""

    head: HeadOptions = AnchorHeadOptions()
    """``kind: second``, anchors; or ``kind: centre``, the centre head of CenterPoint."""
    bev: BevOptions = BevOptions()
    """The 2D network between the VoxelNet and its head."""
    grid: RangeGrid | None = None
    """Bounds and cells in the LiDAR frame of this data set; null takes those of pre-training. Weights fit any: SLidR
    pre-trains on cells of 0.1 m and fine-tunes on KITTI on SECOND's of 0.05 m."""
    sampling: BoxSamplingOptions | None = BoxSamplingOptions()
    """Things of other labelled scans that a scan is filled up with; null puts none in."""

    def misfit(self, classes: Sequence[str]) -> str | None:
        """Say which option is not for a data set whose boxes have these ``classes``; None if all are."""
        if isinstance(self.head, AnchorHeadOptions):
            told, found = "an anchor for each class, in order", len(self.head.anchors)
        else:
            told, found = "every class in one group, by its number from 1", sum(map(len, self.head.groups))
        if found != len(classes):
            return f"head\n  expected: {told}: {', '.join(classes)}\n  found:    {found} of {len(classes)}"
        unknown = sorted(self.sampling.wanted.keys() - set(classes)) if self.sampling else []
        if unknown:
            return (
                f"sampling.wanted\n  expected: classes of the data set: {', '.join(classes)}\n"
                f"  found:    {', '.join(unknown)}\n  way out:  name those to be put in, or write sampling: null"
            )
        return None


class DetectionTask(Task):
    """Boxes with class and score, counted as the data set's own benchmark counts them."""

    Options: ClassVar[type[AnyOptions]] = DetectionOptions
    network: ClassVar[NetworkName] = VOXELNET

    def __init__(self, detector: Second, index: ScanIndex):
        """Take a detector for the classes of ``index``."""
        super().__init__()
        self.detector = detector
        self.begin(index)

    @classmethod
    def build(cls, backbone: Backbone, index: ScanIndex, options: AnyOptions) -> DetectionTask:
        """See `Task.build`.

        Raises:
            ConfigError: an option is not for the classes of the data set, or nobody knows how its format is counted.
        """
        assert isinstance(options, DetectionOptions)
        assert isinstance(backbone, VoxelNet)
        where = f"tasks.detection.{index.dataset}"
        if index.reader not in SCORES:
            raise ConfigError(
                f"{where}: detections are not counted on data of the format {index.reader}\n"
                f"  expected: one of {', '.join(SCORES)}"
            )
        if misfit := options.misfit(BOX_CLASSES[index.reader]):
            raise ConfigError(f"{where}.options.{misfit}")
        return cls(Second(backbone, options.bev, options.head), index)

    @classmethod
    def check(cls, index: ScanIndex, positions: Sequence[int]) -> None:
        """See `Task.check`; here, the boxes."""
        without = [index.records[place].token for place in positions if index.records[place].boxes is None]
        if without:
            raise DataError(
                f"{index.root}: split {index.split} of {index.dataset} has no boxes for {len(without)} of "
                f"{len(positions)} scans, the first is {without[0]}\n"
                "  expected: labelled boxes, if only none of them, for every scan that is learned from or scored\n"
                "  way out:  get the labels (KITTI: training/label_2; nuScenes: sample_annotation.json and its like; "
                "Waymo: segments of training or validation), or name another split"
            )

    @classmethod
    def training_scans(cls, index: ScanIndex, labelled: Sequence[int], job: FinetuneJob) -> Dataset[DetectionSample]:
        """See `Task.training_scans`; what scans are filled up with is taken from the labelled ones, too."""
        sampling = DetectionOptions.model_validate(job.options).sampling
        database = None if sampling is None else BoxDatabase(index, labelled, sampling)
        return DetectionDataset(
            index, labelled, _grid(job), seed=job.seed, augmentation=job.augmentation, database=database
        )

    @classmethod
    def evaluation_scans(cls, index: ScanIndex, job: FinetuneJob, *, with_labels: bool) -> Dataset[DetectionSample]:
        """See `Task.evaluation_scans`."""
        return DetectionDataset(index, range(len(index)), _grid(job), with_labels=with_labels)

    @staticmethod
    def collate(samples: Sequence[DetectionSample]) -> DetectionBatch:
        """See `Task.collate`."""
        return collate_detection(samples)

    @staticmethod
    def features(backbone: Backbone, batch: DetectionBatch) -> Tensor:
        """Return the (B, C, H, W) map of the VoxelNet."""
        assert isinstance(backbone, VoxelNet)
        return backbone(batch.features_V4, batch.coordinates_V4, len(batch))

    def forward(self, features: Tensor, batch: DetectionBatch) -> Any:  # noqa: ARG002
        """See `Second`."""
        return self.detector(features)

    def losses(self, output: Any, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return ``class``, ``box`` and ``direction`` of anchors, or ``heat`` and ``box`` of centres."""
        return self.detector.losses(output, batch)

    def predict(self, output: Any, batch: DetectionBatch) -> list[Detections]:  # noqa: ARG002
        """Return what is found in each scan of the batch."""
        return self.detector.detect(output)

    def begin(self, index: ScanIndex) -> None:
        """See `Task.begin`."""
        self.index = index
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.counted = SCORES[self.index.reader](self.index, BOX_CLASSES[self.index.reader])

    def update(self, output: Any, batch: DetectionBatch) -> None:
        """Count the batch's scans, one by one."""
        for token, found in zip(batch.tokens, self.predict(output, batch), strict=True):
            self.counted.update(token, found)

    def metrics(self) -> list[Metric]:
        """Return the official numbers; see the format's `DetectionScore`."""
        return self.counted.metrics()


def _grid(job: FinetuneJob) -> RangeGrid:
    if not isinstance(job.voxels, RangeGrid):
        raise ConfigError("detection looks at a bounded grid, and this job has voxels without bounds")
    return job.voxels
