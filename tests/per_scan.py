"""A method whose loss is a mean over scans, so that two processes with a scan each do what one does with both.

It is a plug-in of tests/test_processes.py. ``CMCR_TEST_END="rank step how"`` lets a process come to a bad end there.
"""

from __future__ import annotations

import os
import signal

import torch
import torch.distributed
from torch import Tensor, nn

from cmcr.errors import CMCRError
from cmcr.options import Options
from cmcr.pretrain.method import Channels, PretrainMethod, Source, Step
from cmcr.processes import rank


class PerScan(PretrainMethod):
    """A voxel's feature tells the intensity: the mean over scans of the mean square error over their voxels."""

    id, label = "per_scan", "Per scan"
    source = Source(paper="none: a test")
    Options = Options
    needs_images = False

    def __init__(self, options: Options, channels: Channels):
        super().__init__(options, channels)
        self.head = nn.Linear(channels.points, 1)
        self.steps = 0

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Return the error of each scan, averaged."""
        self.steps += 1
        self.perhaps_end()
        batch = step.batch
        error_V = (self.head(step.voxel_VC) - batch.intensity_V1).square()[:, 0]
        scan_V = batch.coordinates_V4[:, 0].long()
        sums = torch.zeros(len(batch.tokens)).index_add(0, scan_V, error_V)
        step.log["voxels"] = torch.tensor(float(len(scan_V)))
        return {"error": (sums / scan_V.bincount()).mean()}

    def perhaps_end(self) -> None:
        """Come to the end that was asked for."""
        asked = os.environ.get("CMCR_TEST_END", "").split()
        if asked[:2] != [str(rank()), str(self.steps)]:
            return
        if asked[2] == "error":
            raise CMCRError("a bad end")
        os.kill(os.getpid(), getattr(signal, asked[2]))
