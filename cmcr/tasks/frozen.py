"""What a linear probe does with a frozen backbone: new BatchNorm statistics, and features computed once."""

from __future__ import annotations

import dataclasses
import logging
import os

import torch
from torch import nn
from torch.utils.data import Dataset

from cmcr.data.batches import Sample, ScanDataset, collate
from cmcr.data.draws import Draw
from cmcr.errors import ConfigError
from cmcr.models.backbone import Backbone, point_features
from cmcr.progress import progress

logger = logging.getLogger(__name__)


class FrozenFeatures(Dataset[Sample]):
    """Scans with the features that a frozen backbone gives their voxels, computed once and kept in memory.

    V voxels cost 4 V C bytes: 96 channels of 6,000 voxels, a scan of the toy city, take 2.3 MB.
    """

    def __init__(self, backbone: Backbone, scans: ScanDataset, device: str):
        """Run the backbone over every scan.

        Raises:
            ConfigError: the features will not fit into memory.
        """
        backbone.to(device).eval()
        self.samples: list[Sample] = []
        for position in progress(range(len(scans)), len(scans), "frozen features", logger):
            self.samples.append(_with_features(backbone, scans[position], device))
            if position == 0:
                _check_memory(self.samples[0], len(scans))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw | int) -> Sample:
        return self.samples[draw.position if isinstance(draw, Draw) else draw]


@torch.no_grad()
def _with_features(backbone: Backbone, sample: Sample, device: str) -> Sample:
    features = point_features(backbone, collate([sample]).to(device))
    return dataclasses.replace(sample, backbone_VC=features.cpu())


def _check_memory(sample: Sample, scans: int) -> None:
    """Stop before the first half hour is lost: the first scan tells about how much all of them will need."""
    assert sample.backbone_VC is not None
    needed = scans * (sample.backbone_VC.nbytes + sample.points_P4.nbytes + sample.voxels.inverse.nbytes)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > 0.8 * there:
        raise ConfigError(
            f"the frozen features of {scans} scans need about {needed / 1e9:.0f} GB of memory\n"
            f"  found:    {there / 1e9:.0f} GB on this machine\n"
            "  way out:  give the linear probe an augmentation (one without effect will do); nothing is kept then, and "
            "the backbone runs in every epoch"
        )


@torch.no_grad()
def recalibrate_batch_norm(backbone: Backbone, scans: ScanDataset, device: str) -> None:
    """Replace all BatchNorm statistics by the plain average over one pass of ``scans``, one scan at a time."""
    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm1d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's sign for a cumulative average
    backbone.to(device).train()
    for position in progress(range(len(scans)), len(scans), "BatchNorm statistics", logger):
        point_features(backbone, collate([scans[position]]).to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    backbone.eval()
