"""Scans prepared for a detector with a bounded grid: filled up, changed, gathered into cells, put together.

Shapes: B scans, V occupied cells, N boxes of one scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.augment import PointAugmentation
from cmcr.data.box_sampling import BoxDatabase, augment_scan
from cmcr.data.draws import Draw, make_generator
from cmcr.data.index import ScanIndex
from cmcr.data.movable import Movable
from cmcr.data.range_grid import Cells, RangeGrid, fill_cells, join_cells


@dataclass(frozen=True, eq=False)
class DetectionSample:
    """One scan: its place in the index, its token, its cells, and its boxes, None without labels."""

    position: int
    token: str
    cells: Cells
    boxes: Boxes3D | None


@dataclass(frozen=True, eq=False)
class DetectionBatch(Movable):
    """B scans.

    Attributes:
        positions: of the scans in the index.
        tokens: of the scans.
        features_V4: (V, 4) of `Cells`.
        coordinates_V4: (V, 4) int32 scan, x, y, z.
        boxes: (N, 7) float32 of each scan; empty without labels.
        classes: (N,) int64 of each scan.
        velocities: (N, 2) float32 of each scan, None where the data set has none.
    """

    positions: tuple[int, ...]
    tokens: tuple[str, ...]
    features_V4: Tensor
    coordinates_V4: Tensor
    boxes: tuple[Tensor, ...]
    classes: tuple[Tensor, ...]
    velocities: tuple[Tensor | None, ...]

    def __len__(self) -> int:
        return len(self.tokens)


class DetectionDataset(Dataset[DetectionSample]):
    """Scans of an index, prepared on request. Random choices depend on (seed, epoch, position) alone."""

    def __init__(
        self,
        index: ScanIndex,
        positions: Sequence[int],
        grid: RangeGrid,
        *,
        seed: int = 0,
        augmentation: PointAugmentation | None = None,
        database: BoxDatabase | None = None,
        with_labels: bool = True,
    ):
        """Prepare to load the scans of ``index`` at ``positions``.

        Args:
            index: all scans of a split.
            positions: which of them; a draw's position counts in this list.
            grid: cells and bounds.
            seed: of the run.
            augmentation: of points and boxes; None leaves them as they are.
            database: things to fill scans up with, before they are changed; None adds none.
            with_labels: whether boxes are read.

        Raises:
            ValueError: the database holds things of other scans than those at ``positions``.
        """
        mine = {index.records[position].token for position in positions}
        if database is not None and not set(database.tokens) <= mine:
            strange = sorted(set(database.tokens) - mine)
            raise ValueError(f"things of {len(strange)} scans whose labels are not to be used, {strange[0]} among them")
        self.index, self.positions, self.grid = index, list(positions), grid
        self.seed, self.augmentation, self.database, self.with_labels = seed, augmentation, database, with_labels

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, draw: Draw | int) -> DetectionSample:
        epoch, position = draw if isinstance(draw, tuple) else (0, draw)
        rng = make_generator(self.seed, "scan", epoch, position)
        scan = self.index.read(self.positions[position], with_labels=self.with_labels)
        if self.database is not None:
            scan = self.database.fill(scan, rng)
        if self.augmentation is not None:
            scan = augment_scan(scan, self.augmentation, rng)
        boxes = scan.boxes
        if boxes is not None and self.augmentation is not None:
            # Validation keeps all boxes: what the official metric counts is not ours to choose.
            boxes = boxes.select(_inside(boxes, self.grid)).with_points()
        return DetectionSample(self.positions[position], scan.token, fill_cells(scan.points, self.grid), boxes)


def _inside(boxes: Boxes3D, grid: RangeGrid) -> np.ndarray:
    """Return the (N,) mask of the boxes whose centre, seen from above, lies within the bounds."""
    low, high = np.array(grid.bounds_m[:2]), np.array(grid.bounds_m[3:5])
    return ((boxes.geometry[:, :2] >= low) & (boxes.geometry[:, :2] < high)).all(axis=1)


def collate_detection(samples: Sequence[DetectionSample]) -> DetectionBatch:
    """Put samples together."""
    nothing = Boxes3D(np.empty((0, 7)), np.empty(0, dtype=np.int64))
    boxes = [nothing if sample.boxes is None else sample.boxes for sample in samples]
    features, coordinates = join_cells([sample.cells for sample in samples])
    return DetectionBatch(
        positions=tuple(sample.position for sample in samples),
        tokens=tuple(sample.token for sample in samples),
        features_V4=torch.from_numpy(features),
        coordinates_V4=torch.from_numpy(coordinates),
        boxes=tuple(torch.from_numpy(each.geometry.astype(np.float32)) for each in boxes),
        classes=tuple(torch.from_numpy(each.classes) for each in boxes),
        velocities=tuple(
            None if each.velocity is None else torch.from_numpy(each.velocity.astype(np.float32)) for each in boxes
        ),
    )
