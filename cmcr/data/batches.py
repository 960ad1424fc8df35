"""From scans to batches: augmented, voxelised, paired with images, and put together as tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cmcr.data.augment import CuboidDrop, PointAugmentation, augment_points, outside_cuboid
from cmcr.data.draws import Draw, make_generator
from cmcr.data.image_bank import Bank
from cmcr.data.image_cache import ImageCache
from cmcr.data.images import ImageOptions, PairedImages, load_paired_images, no_images
from cmcr.data.joined import AnyIndex
from cmcr.data.movable import Movable
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.range_grid import Cells, RangeGrid, fill_cells, join_cells
from cmcr.data.scan import Scan
from cmcr.data.superpixels import SuperpixelFiles
from cmcr.data.voxels import VoxelGrid, Voxels, voxelize
from cmcr.errors import DataError
from cmcr.sparse import SparseTensor


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
        instances_P: (P,) int32 as in `Scan`, or None.
        cells: for a network with a bounded grid, what it looks at; each point is then a voxel of its own. Else None.
    """

    token: str
    points_P4: NDArray[np.float32]
    voxels: Voxels
    labels_P: NDArray[np.uint8] | None
    images: PairedImages | None = None
    backbone_VC: Tensor | None = None
    instances_P: NDArray[np.int32] | None = None
    cells: Cells | None = None


@dataclass(frozen=True, eq=False)
class PairBatch(Movable):
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

    def on_coarser_images(self, divisor: int) -> PairBatch:
        """Return the pairs with the whole pixels that they lie in once ``divisor`` squared pixels are made one."""
        row, column = (position.round().div(divisor, rounding_mode="floor") for position in (self.row, self.column))
        return PairBatch(self.point, self.image, row, column)

    def sample(self, number: int, generator: torch.Generator) -> PairBatch:
        """Return at most ``number`` pairs, drawn without replacement."""
        order = torch.randperm(len(self), generator=generator)[:number]
        return self.take(order.to(self.point.device))


@dataclass(frozen=True, eq=False)
class Batch(Movable):
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
        superpixels: (I, H, W) int64 superpixel of each pixel, numbered within its image, or None.
        backbone_VC: (V, C) features of a frozen backbone computed beforehand, or None.
        instances_P: (P,) int64 instances, numbered within their scan as in `Scan`, or None.
        features_M4, cells_M4: for a network with a bounded grid, its M occupied cells: (M, 4) float32 mean x, y, z and
            intensity, and (M, 4) int32 scan, x, y, z. Each point is then a voxel of its own. Else None.
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
    superpixels: Tensor | None = None
    backbone_VC: Tensor | None = None
    instances_P: Tensor | None = None
    features_M4: Tensor | None = None
    cells_M4: Tensor | None = None

    def voxels(self) -> SparseTensor:
        """Return the input of a network without bounds."""
        if self.cells_M4 is not None:
            raise ValueError("this batch was made for a bounded grid, whose network looks at `cells`")
        return SparseTensor(self.intensity_V1, self.coordinates_V4)

    def cells(self) -> tuple[Tensor, Tensor]:
        """Return the input of a network with a bounded grid: ``features_M4`` and ``cells_M4``."""
        if self.features_M4 is None or self.cells_M4 is None:
            raise ValueError("this batch was made for voxels without bounds, not for a bounded grid")
        return self.features_M4, self.cells_M4


class ScanDataset(Dataset[Sample]):
    """Scans of an index, prepared on request. Random choices depend on (seed, epoch, position) alone.

    So neither the number of loading processes nor an interruption changes what a run sees.
    """

    def __init__(
        self,
        index: AnyIndex,
        positions: Sequence[int],
        grid: VoxelGrid | RangeGrid,
        *,
        seed: int = 0,
        augmentation: PointAugmentation | None = None,
        images: ImageOptions | None = None,
        with_labels: bool = True,
        feature_bank: Bank | None = None,
        with_pixels: bool = False,
        superpixels: SuperpixelFiles | Mapping[str, SuperpixelFiles] | None = None,
    ):
        """Prepare to load the scans of ``index`` at ``positions``.

        Args:
            index: all scans of a split.
            positions: which of them; a draw's position counts in this list.
            grid: the voxels; points outside a bounded grid are left out, and so are their pairs with pixels.
            seed: of the run.
            augmentation: of the points; None leaves them as they are.
            images: how to load images and pairs; None loads none.
            with_labels: whether to return labels. Pre-training asks for none, so that it cannot use any.
            feature_bank: (scans of the index, cameras, C, h, w) image features to return in place of images.
            with_pixels: whether to return the images beside such features too.
            superpixels: where the images' superpixels are, by data set if there are several; None returns none.

        Raises:
            DataError: the feature bank was made for another index.
        """
        if feature_bank is not None and len(feature_bank) != len(index):
            raise DataError(
                f"image features of {len(feature_bank)} scans, but {index.dataset} {index.split} has {len(index)}\n"
                "  way out:  make the features again from this index"
            )
        self.index, self.positions, self.grid = index, list(positions), grid
        self.seed, self.augmentation, self.images = seed, augmentation, images
        self.with_labels, self.feature_bank, self.with_pixels = with_labels, feature_bank, with_pixels
        if isinstance(superpixels, SuperpixelFiles):
            superpixels = {part.dataset: superpixels for part in index.parts}
        self.superpixels = superpixels or {}
        self.decode = ImageCache(images.cache_mb).decode if images is not None and images.cache_mb else None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, draw: Draw | int) -> Sample:
        epoch, position = draw if isinstance(draw, tuple) else (0, draw)
        rng = make_generator(self.seed, "scan", epoch, position)
        in_index = self.positions[position]
        scan = self.index.read(in_index, with_labels=self.with_labels)
        points = scan.points
        # Points draw first, so that they are turned alike whether images are loaded or not.
        if self.augmentation is not None:
            points, _ = augment_points(scan.points, self.augmentation, rng)
            if self.augmentation.drop_cuboid is not None:
                kept = self._kept(scan, points, self.augmentation.drop_cuboid, rng)
                scan, points = scan.select(kept), points[kept]
        cells = None
        if isinstance(self.grid, RangeGrid):
            cells = fill_cells(points, self.grid)
            scan, points, cells = _inside(scan, points, cells)
        images = None
        if self.images is not None:
            images = self._paired(scan, in_index, self.images, rng)
        voxels = voxelize(points[:, :3], self.grid) if isinstance(self.grid, VoxelGrid) else _one_by_one(len(points))
        return Sample(scan.token, points, voxels, scan.labels, images, instances_P=scan.instances, cells=cells)

    def _paired(self, scan: Scan, in_index: int, options: ImageOptions, rng: np.random.Generator) -> PairedImages:
        features = None if self.feature_bank is None else self.feature_bank[in_index]
        if not scan.cameras and len(self.index.parts) > 1:  # other data sets have some
            with_superpixels = bool(self.superpixels)
            return no_images(options.size, features, with_pixels=self.with_pixels, with_superpixels=with_superpixels)
        superpixels = self.superpixels.get(scan.dataset)
        return load_paired_images(
            scan,
            options,
            rng,
            features,
            with_pixels=self.with_pixels,
            superpixels=superpixels,
            decode=self.decode,
        )

    def _kept(
        self, scan: Scan, points_P4: NDArray[np.float32], options: CuboidDrop, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Return the (P,) mask of the points outside a cuboid: of all, if a camera would see too few of them."""
        kept = outside_cuboid(points_P4, options, rng)
        if self.images is not None:
            pairs = pair_points_with_pixels(scan.points[kept], scan.cameras, self.images.min_depth_m)
            if np.bincount(pairs.camera, minlength=len(scan.cameras)).min(initial=len(kept)) < options.enough_pairs:
                return np.ones_like(kept)
        return kept


def _inside(scan: Scan, points_P4: NDArray[np.float32], cells: Cells) -> tuple[Scan, NDArray[np.float32], Cells]:
    """Leave out the points that lie in no cell.

    Raises:
        DataError: all do.
    """
    kept = cells.cell_P >= 0
    if not kept.any():
        raise DataError(f"scan {scan.token} of {scan.dataset} has no point within the bounds of the grid")
    return scan.select(kept), points_P4[kept], dataclasses.replace(cells, cell_P=cells.cell_P[kept])


def _one_by_one(points: int) -> Voxels:
    """Return voxels of one point each; where they lie does not matter, because no network looks at them."""
    every = np.arange(points)
    return Voxels(np.column_stack([every, np.zeros((points, 2))]).astype(np.int32), every, every)


def collate(samples: Sequence[Sample]) -> Batch:
    """Put samples together as one batch. What only some of them have, such as labels, the batch has not."""
    point_counts = [len(sample.points_P4) for sample in samples]
    first_point = _starts(point_counts)
    first_voxel = _starts([len(sample.voxels.coordinates) for sample in samples])
    points = np.concatenate([sample.points_P4 for sample in samples])
    first = np.concatenate([sample.voxels.first + start for sample, start in zip(samples, first_point, strict=True)])
    inverse = [sample.voxels.inverse + start for sample, start in zip(samples, first_voxel, strict=True)]
    coordinates = [np.pad(s.voxels.coordinates, ((0, 0), (1, 0)), constant_values=b) for b, s in enumerate(samples)]
    labels = [sample.labels_P for sample in samples if sample.labels_P is not None]
    instances = [sample.instances_P for sample in samples if sample.instances_P is not None]
    images = [sample.images for sample in samples if sample.images is not None]
    backbone = [sample.backbone_VC for sample in samples if sample.backbone_VC is not None]
    cells = [sample.cells for sample in samples if sample.cells is not None]
    return Batch(
        tokens=tuple(sample.token for sample in samples),
        points_P4=torch.from_numpy(points),
        scan_P=torch.from_numpy(np.repeat(np.arange(len(samples)), point_counts)),
        coordinates_V4=torch.from_numpy(np.concatenate(coordinates)),
        intensity_V1=torch.from_numpy(points[first, 3:4]),
        voxel_P=torch.from_numpy(np.concatenate(inverse)),
        first_V=torch.from_numpy(first),
        labels_P=torch.from_numpy(np.concatenate(labels)).long() if len(labels) == len(samples) else None,
        backbone_VC=torch.cat(backbone) if len(backbone) == len(samples) else None,
        instances_P=torch.from_numpy(np.concatenate(instances)).long() if len(instances) == len(samples) else None,
        **(_collate_cells(cells) if len(cells) == len(samples) else {}),
        **(_collate_images(images, first_point) if len(images) == len(samples) else {}),
    )


def _collate_cells(cells: Sequence[Cells]) -> dict[str, Any]:
    """Return the fields of a batch that a network with a bounded grid looks at."""
    features, coordinates = join_cells(cells)
    return {"features_M4": torch.from_numpy(features), "cells_M4": torch.from_numpy(coordinates)}


def _collate_images(images: Sequence[PairedImages], first_point: NDArray[np.int64]) -> dict[str, Any]:
    """Return the fields of a batch that come from images."""
    first_image = _starts([entry.count for entry in images])
    pairs = PairBatch(
        point=torch.from_numpy(np.concatenate([e.point + start for e, start in zip(images, first_point, strict=True)])),
        image=torch.from_numpy(np.concatenate([e.image + start for e, start in zip(images, first_image, strict=True)])),
        row=torch.from_numpy(np.concatenate([e.row for e in images])),
        column=torch.from_numpy(np.concatenate([e.column for e in images])),
    )
    fields: dict[str, Any] = {"pairs": pairs, "image_size": images[0].size}
    features = [entry.features for entry in images if entry.features is not None]
    pixels = [entry.pixels for entry in images if entry.pixels is not None]
    if features:
        fields["image_features"] = torch.from_numpy(np.concatenate(features)).float()
    regions = [entry.superpixels for entry in images if entry.superpixels is not None]
    if regions:
        fields["superpixels"] = torch.from_numpy(np.concatenate(regions).astype(np.int64))
    if pixels:
        fields["images"] = torch.from_numpy(np.concatenate(pixels)).permute(0, 3, 1, 2).float().div_(255)
    return fields


def _starts(counts: Sequence[int]) -> NDArray[np.int64]:
    """Return the row at which each of several parts begins when they are put one after the other."""
    return np.cumsum([0, *counts[:-1]])
