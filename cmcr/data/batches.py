"""From scans to batches: augmented, voxelised, paired with images, and put together as tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from cmcr.data.augment import PointAugmentation, augment_points
from cmcr.data.images import ImageOptions, PairedImages, load_paired_images
from cmcr.data.index import ScanIndex
from cmcr.data.voxels import VoxelGrid, Voxels, voxelize
from cmcr.sparse import SparseTensor


class Draw(NamedTuple):
    """Which scan to load, and in which epoch: together with the seed they fix every random choice made for it."""

    epoch: int
    position: int


@dataclass(frozen=True, eq=False)
class Sample:
    """One scan made ready. P points, V voxels.

    Attributes:
        token: of the scan.
        points_P4: (P, 4) float32, augmented; x y z in metres, intensity in [0, 1].
        voxels: the voxels of these points.
        labels_P: (P,) uint8 classes, or None.
        images: the images and the pixels that see the points, or None.
        backbone_VC: (V, C) features of a frozen backbone computed beforehand, or None.
    """

    token: str
    points_P4: NDArray[np.float32]
    voxels: Voxels
    labels_P: NDArray[np.uint8] | None
    images: PairedImages | None = None
    backbone_VC: Tensor | None = None


@dataclass(frozen=True, eq=False)
class PairBatch:
    """N matched points and pixels of a whole batch.

    Attributes:
        point: (N,) int64 row among the batch's points.
        image: (N,) int64 row among the batch's images.
        row, column: (N,) float32 pixel in the batch's images, in [0, H - 1] and [0, W - 1].
    """

    point: Tensor
    image: Tensor
    row: Tensor
    column: Tensor

    def __len__(self) -> int:
        return len(self.point)

    def take(self, chosen: Tensor) -> PairBatch:
        """Return the pairs at ``chosen`` (indices or mask)."""
        return PairBatch(self.point[chosen], self.image[chosen], self.row[chosen], self.column[chosen])

    def sample(self, number: int, generator: torch.Generator) -> PairBatch:
        """Return at most ``number`` pairs, drawn without replacement."""
        order = torch.randperm(len(self), generator=generator)[:number]
        return self.take(order.to(self.point.device))


@dataclass(frozen=True, eq=False)
class Batch:
    """B scans one after the other: P points, V voxels, I images in all.

    Attributes:
        tokens: of the scans, in order.
        points_P4: (P, 4) float32, x y z in metres in each scan's LiDAR frame, intensity in [0, 1].
        scan_P: (P,) int64 scan of each point.
        coordinates_V4: (V, 4) int32 scan, x, y, z of each voxel.
        intensity_V1: (V, 1) float32 network input: intensity of the first point of each voxel.
        voxel_P: (P,) int64 voxel of each point.
        first_V: (V,) int64 point that stands for each voxel.
        labels_P: (P,) int64 classes, or None.
        pairs: matched points and pixels, or None.
        images: (I, 3, H, W) float32 in [0, 1], or None.
        image_features: (I, C, h, w) features of a frozen image encoder computed beforehand, or None.
        image_size: (H, W) that the pairs refer to.
        backbone_VC: (V, C) features of a frozen backbone computed beforehand, or None.
    """

    tokens: tuple[str, ...]
    points_P4: Tensor
    scan_P: Tensor
    coordinates_V4: Tensor
    intensity_V1: Tensor
    voxel_P: Tensor
    first_V: Tensor
    labels_P: Tensor | None = None
    pairs: PairBatch | None = None
    images: Tensor | None = None
    image_features: Tensor | None = None
    image_size: tuple[int, int] = (0, 0)
    backbone_VC: Tensor | None = None

    def voxels(self) -> SparseTensor:
        """Return the network's input."""
        return SparseTensor(self.intensity_V1, self.coordinates_V4)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return a copy whose tensors lie on ``device`` (Lightning calls this)."""

        def move(value: object) -> object:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=non_blocking)
            if isinstance(value, PairBatch):
                return PairBatch(*(move(getattr(value, f.name)) for f in dataclasses.fields(value)))  # type: ignore[arg-type]
            return value

        return dataclasses.replace(self, **{f.name: move(getattr(self, f.name)) for f in dataclasses.fields(self)})  # type: ignore[arg-type]


class ScanDataset(Dataset[Sample]):
    """Scans of an index, prepared on request. Random choices depend on (seed, epoch, position) alone.

    So neither the number of loading processes nor an interruption changes what a run sees.
    """

    def __init__(
        self,
        index: ScanIndex,
        positions: Sequence[int],
        grid: VoxelGrid,
        *,
        seed: int = 0,
        augmentation: PointAugmentation | None = None,
        images: ImageOptions | None = None,
        with_labels: bool = True,
        feature_bank: NDArray[np.float16] | None = None,
    ):
        """Prepare to load the scans of ``index`` at ``positions``.

        Args:
            index: all scans of a split.
            positions: which of them; a draw's position counts in this list.
            grid: the voxels.
            seed: of the run.
            augmentation: of the points; None leaves them as they are.
            images: how to load images and pairs; None loads none.
            with_labels: whether to return labels. Pre-training asks for none, so that it cannot use any.
            feature_bank: (scans of the index, cameras, C, h, w) image features to return in place of images.
        """
        self.index, self.positions, self.grid = index, list(positions), grid
        self.seed, self.augmentation, self.images = seed, augmentation, images
        self.with_labels, self.feature_bank = with_labels, feature_bank

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, draw: Draw | int) -> Sample:
        epoch, position = draw if isinstance(draw, tuple) else (0, draw)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, position]))
        in_index = self.positions[position]
        scan = self.index.read(in_index)
        points = scan.points
        images = None
        if self.images is not None:
            features = None if self.feature_bank is None else self.feature_bank[in_index]
            images = load_paired_images(scan, self.images, rng, features)
        if self.augmentation is not None:
            points = augment_points(points, self.augmentation, rng)[0]
        labels = scan.labels if self.with_labels else None
        return Sample(scan.token, points, voxelize(points[:, :3], self.grid), labels, images)


class SeededSampler(Sampler[Draw]):
    """Visits every scan once per epoch in an order that depends on (seed, epoch) alone."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass (Lightning calls this, also after a resume)."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        order = np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch])).permutation(self.length)
        return (Draw(self.epoch, int(position)) for position in order)


def collate(samples: Sequence[Sample]) -> Batch:
    """Put samples together as one batch."""
    point_counts = [len(sample.points_P4) for sample in samples]
    voxel_counts = [len(sample.voxels.coordinates) for sample in samples]
    first_point = np.cumsum([0, *point_counts])
    first_voxel = np.cumsum([0, *voxel_counts])
    points = np.concatenate([sample.points_P4 for sample in samples])
    first = np.concatenate([sample.voxels.first + start for sample, start in zip(samples, first_point, strict=False)])
    inverse = [sample.voxels.inverse + start for sample, start in zip(samples, first_voxel, strict=False)]
    coordinates = [np.pad(s.voxels.coordinates, ((0, 0), (1, 0)), constant_values=b) for b, s in enumerate(samples)]
    labels = [sample.labels_P for sample in samples]
    backbone = [sample.backbone_VC for sample in samples]
    batch = Batch(
        tokens=tuple(sample.token for sample in samples),
        points_P4=torch.from_numpy(points),
        scan_P=torch.from_numpy(np.repeat(np.arange(len(samples)), point_counts)),
        coordinates_V4=torch.from_numpy(np.concatenate(coordinates)),
        intensity_V1=torch.from_numpy(points[first, 3:4]),
        voxel_P=torch.from_numpy(np.concatenate(inverse)),
        first_V=torch.from_numpy(first),
        labels_P=None if any(x is None for x in labels) else torch.from_numpy(np.concatenate(labels)).long(),  # type: ignore[arg-type]
        backbone_VC=None if any(x is None for x in backbone) else torch.cat(backbone),  # type: ignore[arg-type]
    )
    if any(sample.images is None for sample in samples):
        return batch
    return dataclasses.replace(batch, **_collate_images([s.images for s in samples if s.images], first_point))


def _collate_images(images: Sequence[PairedImages], first_point: NDArray[np.int64]) -> dict:
    first_image = np.cumsum([0, *(entry.count for entry in images)])
    pairs = PairBatch(
        point=torch.from_numpy(np.concatenate([e.point + p for e, p in zip(images, first_point, strict=False)])),
        image=torch.from_numpy(np.concatenate([e.image + i for e, i in zip(images, first_image, strict=False)])),
        row=torch.from_numpy(np.concatenate([e.row for e in images])),
        column=torch.from_numpy(np.concatenate([e.column for e in images])),
    )
    fields: dict = {"pairs": pairs, "image_size": images[0].size}
    if images[0].features is not None:
        fields["image_features"] = torch.from_numpy(np.concatenate([e.features for e in images])).float()  # type: ignore[misc]
    else:
        pixels = torch.from_numpy(np.concatenate([e.pixels for e in images]))  # type: ignore[misc]
        fields["images"] = pixels.permute(0, 3, 1, 2).float().div_(255)
    return fields
