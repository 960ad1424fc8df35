"""Pre-training a backbone with one method."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cmcr.compute import prepare
from cmcr.data.batches import Batch, ScanDataset
from cmcr.data.draws import seed_of_step
from cmcr.data.image_bank import Bank, arrays_of
from cmcr.data.joined import AnyIndex
from cmcr.data.superpixels import SuperpixelFiles
from cmcr.files import sha256_of_json
from cmcr.models.backbone import (
    NO_DATASET,
    Backbone,
    BackboneRecord,
    make_backbone,
    point_features,
    save_backbone,
)
from cmcr.models.image_encoder import ImageEncoder
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.learned import METHOD_FILE, save_method
from cmcr.pretrain.method import Channels, PretrainMethod, Step
from cmcr.processes import leave_to_the_first, rank
from cmcr.sources import code_digest
from cmcr.training import TrainingModule, job_folder, make_loader, train

logger = logging.getLogger(__name__)


class PretrainModule(TrainingModule):
    """Backbone and method in training."""

    def __init__(
        self, backbone: Backbone, method: PretrainMethod, encoder: ImageEncoder | None, job: PretrainJob, steps: int
    ):
        super().__init__(job.recipe, steps, job.compute.precision)
        self.backbone, self.method, self.seed = backbone, method, job.seed
        # In a list, and so out of the module tree: the frozen encoder belongs to no checkpoint.
        self._encoder = [encoder]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Run the frozen image encoder on (I, 3, H, W) images."""
        encoder = self._encoder[0]
        if encoder is None:
            raise ValueError(f"{len(images)} images are to be encoded, but this run was given no image encoder")
        return self.in_float32(encoder, images)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the method's losses. Its randomness depends on (seed, step, rank), so that a resume repeats it."""
        step = Step(
            batch=batch,
            voxel_VC=self.in_float32(point_features, self.backbone, batch),
            encode=self.encode,
            generator=torch.Generator().manual_seed(seed_of_step(self.seed, self.global_step, rank())),
        )
        losses = self.method.losses(step)
        self.measured = step.log
        return losses

    def body(self) -> Iterable[nn.Parameter]:
        """Return the backbone's parameters."""
        return self.backbone.parameters()

    def heads(self) -> Iterable[nn.Parameter]:
        """Return the method's own parameters."""
        return self.method.parameters()


def pretrain(
    job: PretrainJob,
    method_class: type[PretrainMethod],
    *,
    index: AnyIndex | None,
    encoder: ImageEncoder | None,
    feature_bank: Bank | None,
    folder: Path,
    output: Path,
    superpixels: Sequence[Path] = (),
) -> None:
    """Pre-train a backbone and write its weights to ``output`` (safetensors).

    What else the method learned, its heads for example, is kept as ``method.safetensors`` in ``folder``, with a record
    of its options and widths, so that one can look into it later.

    Args:
        job: what to do.
        method_class: the plug-in's class.
        index: the training scans, of one data set or of several; None for a method that does not pre-train.
        encoder: the frozen image encoder; None if ``feature_bank`` or the method makes it needless.
        feature_bank: features of all images computed beforehand, or None.
        folder: for logs and the checkpoint of a run under way.
        output: the weight file.
        superpixels: for a method that needs superpixels, their folder for each data set with cameras.

    Raises:
        CMCRError: a loss is not finite.
    """
    prepare(job.compute, job.seed)
    backbone = make_backbone(job.backbone, job.voxels)
    if encoder is not None:
        encoder.to(job.compute.device)
        if job.compute.device == "cuda":  # whose convolutions in half precision are made for channels that lie last
            encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with job_folder(folder):
        if method_class.pretrains:
            if index is None:
                raise ValueError(f"the method {job.method} needs training scans")
            method = _train(job, method_class, backbone, index, encoder, feature_bank, folder, superpixels)
            leave_to_the_first()
            # First, so that whoever finds the backbone finds them too.
            save_method(folder / METHOD_FILE, method)
        record = BackboneRecord(
            method=job.method,
            dataset=index.dataset if index is not None and method_class.pretrains else NO_DATASET,
            seed=job.seed,
            backbone=job.backbone,
            voxels=job.voxels,
            config_hash=sha256_of_json(
                [job.model_dump(mode="json"), method_class.id, _teacher_hash(encoder, feature_bank)]
            ),
            data_checksum=index.checksum if index is not None else "",
        )
        save_backbone(output, backbone, record)
    logger.info("wrote %s", output)


def _train(
    job: PretrainJob,
    method_class: type[PretrainMethod],
    backbone: Backbone,
    index: AnyIndex,
    encoder: ImageEncoder | None,
    feature_bank: Bank | None,
    folder: Path,
    superpixels: Sequence[Path],
) -> PretrainMethod:
    with_images = method_class.needs_images
    image_channels = encoder.out_channels if encoder else 0
    if feature_bank is not None:
        image_channels = arrays_of(feature_bank)[0].shape[2]
    method = method_class(
        method_class.Options.model_validate(job.options), Channels(points=backbone.out_channels, image=image_channels)
    )
    has_images = np.array([bool(record.cameras) for record in index.records])
    regions = None
    if method_class.needs_superpixels:
        with_cameras = [part for part in index.parts if any(record.cameras for record in part.records)]
        if len(superpixels) != len(with_cameras) or job.superpixels is None:
            raise ValueError(f"the method {job.method} needs superpixels of {len(with_cameras)} data sets")
        regions = {
            part.dataset: SuperpixelFiles(folder, part.root, job.superpixels)
            for part, folder in zip(with_cameras, superpixels, strict=True)
        }
    dataset = ScanDataset(
        index,
        range(len(index)),
        job.voxels,
        seed=job.seed,
        augmentation=job.augmentation,
        images=job.images if with_images else None,
        with_labels=False,
        feature_bank=feature_bank if with_images else None,
        with_pixels=method.needs_pixels,
        superpixels=regions,
    )
    steps = job.recipe.steps(len(dataset))
    module = PretrainModule(backbone, method, encoder, job, steps)
    readers = sorted({part.reader_file for part in index.parts})
    code = code_digest(Path(__file__), Path(inspect.getfile(method_class)), *readers)
    identity = sha256_of_json([job.model_dump(mode="json"), code, index.checksum, _teacher_hash(encoder, feature_bank)])
    # Where some scans have no images, no batch is without any: a method that needs them would have nothing to learn.
    mixed = with_images and bool(has_images.any()) and not bool(has_images.all())
    loader = make_loader(dataset, job.recipe, job.seed, job.compute, has_images if mixed else None)
    train(module, loader, job.compute, folder, identity)
    return method


def _teacher_hash(encoder: ImageEncoder | None, feature_bank: Bank | None) -> str:
    """Hash what teaches: the encoder's weights; of a bank, which may exceed memory, its shape and first scan."""
    digest = hashlib.sha256()
    for array in arrays_of(feature_bank) if feature_bank is not None else ():
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array[0]).tobytes())
    if encoder is not None:
        for name, tensor in sorted(encoder.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
