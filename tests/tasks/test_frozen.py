from __future__ import annotations

import os

import pytest
import torch
from invented import TINY, VOXELS, invented_index

from cmcr.data.batches import Draw, ScanDataset, collate
from cmcr.errors import ConfigError
from cmcr.models.backbone import make_backbone
from cmcr.models.minkunet import MinkUNet
from cmcr.tasks.frozen import FrozenFeatures, recalibrate_batch_norm


@pytest.fixture
def backbone() -> MinkUNet:
    torch.manual_seed(0)
    return make_backbone(TINY)


@pytest.fixture
def scans() -> ScanDataset:
    return ScanDataset(invented_index(3), range(3), VOXELS)


def test_features_are_those_of_the_backbone_in_evaluation(backbone: MinkUNet, scans: ScanDataset) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    frozen = FrozenFeatures(backbone.train(), scans, "cpu")
    assert len(frozen) == 3
    batch = collate([frozen[Draw(epoch=5, position=position)] for position in (2, 0)])
    with torch.no_grad():
        expected = backbone.eval()(collate([scans[2], scans[0]]).voxels())
    assert batch.backbone_VC is not None
    torch.testing.assert_close(batch.backbone_VC, expected)
    assert not batch.backbone_VC.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_features_that_cannot_fit_into_memory_are_refused_at_the_first_scan(
    backbone: MinkUNet, scans: ScanDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_PHYS_PAGES" else 4096)
    seen = []
    hook = backbone.register_forward_hook(lambda *_: seen.append(1))
    with pytest.raises(ConfigError, match="augmentation"):
        FrozenFeatures(backbone, scans, "cpu")
    hook.remove()
    assert len(seen) == 1


def test_recalibrated_statistics_are_the_average_over_scans(backbone: MinkUNet, scans: ScanDataset) -> None:
    # The first layer's input does not depend on any statistics, so its average can be had without the network.
    recalibrate_batch_norm(backbone, scans, "cpu")
    with torch.no_grad():
        outputs = [backbone.stem(collate([scans[i]]).voxels()).features for i in range(3)]
    torch.testing.assert_close(backbone.stem_norm.running_mean, torch.stack([x.mean(0) for x in outputs]).mean(0))
    torch.testing.assert_close(backbone.stem_norm.running_var, torch.stack([x.var(0) for x in outputs]).mean(0))
    assert backbone.stem_norm.momentum == TINY.batch_norm_momentum
    assert not backbone.training


def test_recalibration_forgets_what_was_there(backbone: MinkUNet, scans: ScanDataset) -> None:
    recalibrate_batch_norm(backbone, scans, "cpu")
    first = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    for layer in backbone.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.fill_(5.0)  # type: ignore[union-attr]
    recalibrate_batch_norm(backbone, scans, "cpu")
    assert all(torch.equal(tensor, first[name]) for name, tensor in backbone.state_dict().items())
