"""``across_processes``: pairs and superpixels of all devices are each other's negatives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from invented import IMAGE_CHANNELS, TINY, feature_bank, paired_scans, square_superpixels
from processes import run_in_processes
from torch import Tensor

from baselines.ppkt import PPKT
from baselines.slidr import SLidR
from baselines.st_slidr import STSLidR
from cmcr.data.batches import Batch, collate
from cmcr.models.backbone import make_backbone
from cmcr.pretrain.method import Channels, PretrainMethod, Step

METHODS: tuple[type[PretrainMethod], ...] = (PPKT, SLidR, STSLidR)


def batch_of(positions: list[int]) -> Batch:
    dataset = paired_scans(2, feature_bank(2, IMAGE_CHANNELS))
    made = collate([dataset[position] for position in positions])
    return dataclasses.replace(made, superpixels=square_superpixels(2 * len(positions)))


def losses_of(positions: list[int], across_processes: bool) -> dict[str, Tensor]:
    """The loss of each method on these scans; BatchNorm is at rest, so that a scan's features are its own."""
    found = {}
    batch = batch_of(positions)
    for method_class in METHODS:
        torch.manual_seed(0)
        backbone = make_backbone(TINY).eval()
        method = method_class(
            method_class.Options(across_processes=across_processes), Channels(backbone.out_channels, IMAGE_CHANNELS)
        )
        step = Step(batch, backbone(batch.voxels()), lambda images: images, torch.Generator().manual_seed(0))
        (found[method.id],) = method.losses(step).values()
    return found


def losses_in_each_process(rank: int, folder: Path) -> None:
    both = {across: losses_of([rank], across) for across in (True, False)}
    torch.save({across: {name: loss.item() for name, loss in found.items()} for across, found in both.items()},
               folder / f"{rank}.pt")  # fmt: skip


@pytest.mark.slow
def test_two_devices_with_a_scan_each_contrast_as_one_with_both(tmp_path: Path) -> None:
    run_in_processes(2, losses_in_each_process, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    one = {name: loss.item() for name, loss in losses_of([0, 1], across_processes=False).items()}
    alone = [{name: loss.item() for name, loss in losses_of([rank], False).items()} for rank in (0, 1)]
    for name in one:
        assert first[True][name] == pytest.approx(second[True][name], rel=1e-6)
        assert first[True][name] == pytest.approx(one[name], rel=1e-5)
        assert [first[False][name], second[False][name]] == pytest.approx([each[name] for each in alone], rel=1e-5)
        assert abs(alone[0][name] - one[name]) > 0.1  # twice the negatives
