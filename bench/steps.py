"""Whole steps of pre-training and what they consist of, at the sizes of the toy run, with the encoder in every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench.data import make_city
from bench.measure import Case, Work
from cmcr.config import read_config
from cmcr.data.batches import Batch, ScanDataset, collate
from cmcr.data.draws import Draw
from cmcr.data.superpixels import SuperpixelFiles, make_superpixels
from cmcr.data.toy.city import ToyCityOptions
from cmcr.models.backbone import make_backbone, point_features
from cmcr.models.image_encoder import SmallResNet, SmallTeacherOptions
from cmcr.plan import Plan
from cmcr.pretrain.method import Channels, Step
from cmcr.pretrain.run import PretrainModule

CONFIG = Path(__file__).resolve().parents[1] / "config" / "toy.yaml"
METHODS = ("ppkt", "slidr", "cmcr")
CITY = ToyCityOptions(train_scenes=1, validation_scenes=1, keyframes=1)


def step_stages(row: str) -> Mapping[str, Work]:
    """One scan through the whole step of a method, and its parts."""
    plan = Plan.of(read_config(CONFIG), str(CONFIG))
    job, method_class = plan.pretrain_job(row, 0), plan.classes[row]
    index = make_city(CITY)
    superpixels = None
    if job.superpixels is not None:
        superpixels = {index.dataset: SuperpixelFiles(index.root / "superpixels", index.root, job.superpixels)}
        make_superpixels(index, superpixels[index.dataset])
    torch.manual_seed(0)
    encoder, backbone = SmallResNet(SmallTeacherOptions()).frozen(), make_backbone(job.backbone, job.voxels)
    options = method_class.Options.model_validate(job.options)
    method = method_class(options, Channels(points=backbone.out_channels, image=encoder.out_channels))
    module = PretrainModule(backbone, method, encoder, job, steps=1).train()
    optimizer = module.configure_optimizers()["optimizer"]
    scans = ScanDataset(
        index,
        [0],
        job.voxels,
        augmentation=job.augmentation,
        images=job.images,
        with_labels=False,
        with_pixels=True,
        superpixels=superpixels,
    )
    batch = collate([scans[Draw(0, 0)]])
    images_I3HW = batch.images
    if images_I3HW is None:
        raise ValueError(f"{row} was to be measured with images")
    with torch.no_grad():
        features_VC = point_features(backbone, batch)
        maps = encoder(images_I3HW)

    def losses(voxel_VC: Tensor, seen: Batch, encode: Callable[[Tensor], Tensor]) -> Tensor:
        step = Step(seen, voxel_VC, encode, torch.Generator().manual_seed(0))
        return sum(method.losses(step).values(), torch.zeros(()))

    def whole() -> None:
        optimizer.zero_grad()
        seen = collate([scans[Draw(0, 0)]])
        losses(point_features(backbone, seen), seen, module.encode).backward()
        optimizer.step()

    def network() -> None:
        point_features(backbone, batch).square().mean().backward()

    def losses_alone() -> None:
        # Features that lie ready stand in for both networks.
        losses(features_VC.clone().requires_grad_(), batch, lambda images: maps[: len(images)]).backward()

    return {
        "the whole step": whole,
        "load the scan": lambda: scans[Draw(0, 0)],
        "image encoder": lambda: module.encode(images_I3HW),
        "3D network, forward and backward": network,
        "losses, forward and backward": losses_alone,
    }


CASES = {
    f"step_{row}": Case(f"one step of {row}, one toy scan, six images of 112 x 200", partial(step_stages, row), True)
    for row in METHODS
}
