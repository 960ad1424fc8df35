"""Frozen features of sampled points, and what they may be asked for.

Shapes: P points of all scans together, N of them seen by a camera, C channels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cmcr.data.batches import Sample, ScanDataset, collate
from cmcr.data.draws import make_generator
from cmcr.data.geometry import local_geometry
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.scan import IGNORE
from cmcr.data.voxels import VoxelGrid
from cmcr.models.image_encoder import ImageEncoder
from cmcr.models.minkunet import MinkUNet
from cmcr.models.sampling import sample_pixels
from cmcr.pretrain.method import PretrainMethod
from cmcr.progress import progress

logger = logging.getLogger(__name__)

#: The features that come out of the backbone, and those of the encoder, which stand on the side of the images for them.
BACKBONE: Final = "backbone"
#: The features in which the modalities meet; their length is no part of them.
SHARED: Final = "shared"


@dataclass(frozen=True, eq=False)
class Gathered:
    """Points of several scans, all on the CPU.

    Attributes:
        points: (P, C) features by their name: the backbone's, and those of each of the method's heads.
        pixels: (N, C) image features by their name: the encoder's, and those of each head on them.
        seen: (N,) rows among the points of those that a camera sees, each once.
        targets: (P, T) float64 by name: ``intensity``, ``normal``, ``height``, ``distance``, ``colour``; NaN where a
            point has none.
        labels: (P,) int64 classes, `IGNORE` where there is none.
    """

    points: Mapping[str, Tensor]
    pixels: Mapping[str, Tensor]
    seen: Tensor
    targets: Mapping[str, Tensor]
    labels: Tensor


@dataclass(frozen=True, eq=False)
class FrozenNetworks:
    """What is looked into.

    Attributes:
        backbone: the 3D network, with the BatchNorm statistics it is to be judged with.
        method: the heads, or None.
        encoder: the frozen image encoder.
        device: where they run.
    """

    backbone: MinkUNet
    method: PretrainMethod | None
    encoder: ImageEncoder
    device: str

    def __post_init__(self) -> None:
        for network in (self.backbone, self.method, self.encoder):
            if network is not None:
                network.to(self.device).eval()


def spread_positions(length: int, number: int) -> list[int]:
    """Return at most ``number`` positions, evenly spread from the first of ``length`` to the last."""
    return [int(place) for place in np.linspace(0, length - 1, min(number, length)).round()]


def whole_scans(index: ScanIndex, positions: Sequence[int], voxels: VoxelGrid, images: ImageOptions) -> ScanDataset:
    """Return scans of a split with images, as they are, with whole images of the size that ``images`` says."""
    return ScanDataset(index, positions, voxels, images=images.model_copy(update={"crop": None}))


@torch.no_grad()
def gather(scans: ScanDataset, points_per_scan: int, networks: FrozenNetworks) -> Gathered:
    """Run the frozen networks over scans, and keep what belongs to a draw of points.

    Args:
        scans: see `whole_scans`.
        points_per_scan: how many points are drawn from each. The draw depends on the scan's place in its split alone.
        networks: what is looked into.
    """
    parts = []
    for number in progress(range(len(scans)), len(scans), f"features of {scans.index.split}", logger):
        sample, place = scans[number], scans.positions[number]
        draw = make_generator(0, "scan", 0, place).permutation(len(sample.points_P4))[:points_per_scan]
        parts.append(_gather_scan(sample, np.sort(draw), networks))
    return _joined(parts)


def _gather_scan(sample: Sample, chosen: NDArray[np.int64], networks: FrozenNetworks) -> Gathered:
    batch, method = collate([sample]).to(networks.device), networks.method
    assert batch.pairs is not None
    assert batch.images is not None
    # The first camera that sees a point gives it its pixel; pairs come camera by camera.
    first_P = np.full(len(sample.points_P4), -1)
    point = batch.pairs.point.cpu().numpy()
    first_P[point[::-1]] = np.arange(len(point))[::-1]
    seen = np.flatnonzero(first_P[chosen] >= 0)
    pairs = batch.pairs.take(torch.from_numpy(first_P[chosen][seen]).to(networks.device))

    voxel_VC, image_ICHW = networks.backbone(batch.voxels()), networks.encoder(batch.images)
    of_points, of_images = {BACKBONE: voxel_VC}, {BACKBONE: image_ICHW}
    if method is not None:
        of_points |= method.point_heads(voxel_VC)
        of_images |= method.pixel_heads(image_ICHW)
    voxel_P = batch.voxel_P[torch.from_numpy(chosen).to(networks.device)]
    pixels = {name: sample_pixels(map_, pairs, batch.image_size) for name, map_ in of_images.items()}
    if SHARED in pixels:
        pixels[SHARED] = F.normalize(pixels[SHARED], dim=1)

    geometry = local_geometry(sample.points_P4[:, :3], chosen)
    colour_P3 = np.full((len(chosen), 3), np.nan)
    row, column = pairs.row.round().long(), pairs.column.round().long()
    colour_P3[seen] = batch.images[pairs.image, :, row, column].cpu().numpy()
    targets: dict[str, NDArray[np.floating]] = {
        "intensity": sample.points_P4[chosen, 3:4],
        "normal": geometry.normal_N3,
        "height": geometry.height_N[:, None],
        "distance": geometry.distance_N[:, None],
        "colour": colour_P3,
    }
    labels = np.full(len(chosen), IGNORE) if sample.labels_P is None else sample.labels_P[chosen]
    return Gathered(
        points={name: rows[voxel_P].cpu() for name, rows in of_points.items()},
        pixels={name: rows.cpu() for name, rows in pixels.items()},
        seen=torch.from_numpy(seen),
        targets={name: torch.from_numpy(values.astype(np.float64)) for name, values in targets.items()},
        labels=torch.from_numpy(labels.astype(np.int64)),
    )


def _joined(parts: Sequence[Gathered]) -> Gathered:
    def join(field: str) -> dict[str, Tensor]:
        return {name: torch.cat([getattr(part, field)[name] for part in parts]) for name in getattr(parts[0], field)}

    starts = np.cumsum([0, *(len(part.labels) for part in parts[:-1])])
    return Gathered(
        points=join("points"),
        pixels=join("pixels"),
        seen=torch.cat([part.seen + int(start) for part, start in zip(parts, starts, strict=True)]),
        targets=join("targets"),
        labels=torch.cat([part.labels for part in parts]),
    )
