"""Published weights in the place of pre-training: the row's method, its job, and the import."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from pydantic import NonNegativeInt

from cmcr.data.voxels import VoxelGrid
from cmcr.errors import WeightsError
from cmcr.files import sha256_of_json
from cmcr.models.backbone import PUBLISHED_DATASET, BackboneRecord, save_backbone
from cmcr.models.minkunet import MinkUNetOptions
from cmcr.models.published import PublishedWeights, read_published, same_cells
from cmcr.options import Options
from cmcr.pretrain.method import PretrainMethod, Source

#: Stands where other rows have their plug-in's file.
PUBLISHED_FILE = Path(__file__)

logger = logging.getLogger(__name__)


class Published(PretrainMethod):
    """Stands for the method that trained published weights, where no plug-in does. It trains nothing."""

    id, label = "published", "Published weights"
    source = Source(paper="the file that the row names")
    needs_images = False


class ImportJob(Options):
    """Everything that decides what an import writes, besides the file."""

    method: str = "published"
    """Id under which the result is kept."""
    dataset: str = PUBLISHED_DATASET
    """Id of the data set of pre-training."""
    seed: NonNegativeInt = 0
    """Seed of the fine-tuning that reads the result; the weights are the same for each."""
    backbone: MinkUNetOptions | None = None
    """The 3D network; null reads its size off the file."""
    voxels: VoxelGrid | None = None
    """Voxels that it will be run on; null takes those it was trained on."""
    trained_voxels: VoxelGrid | None = None
    """Voxels that it was trained on; null takes what the file says."""


def import_weights(job: ImportJob, weights: Path, output: Path | None) -> PublishedWeights:
    """Read published weights and write them as a backbone of this suite, with their checksum in its record.

    Args:
        job: what to do.
        weights: the published file.
        output: the backbone (safetensors); None only looks at the file.

    Raises:
        WeightsError: the file is missing, damaged or unsafe, does not fit the network, or was trained on other voxels.
    """
    published = read_published(weights)
    options = job.backbone or published.options or MinkUNetOptions()
    backbone = published.fill(options)
    if output is None:
        return published
    record = BackboneRecord(
        method=job.method,
        dataset=job.dataset,
        seed=job.seed,
        backbone=options,
        voxels=_voxels(job, published),
        data_checksum="",
        config_hash=sha256_of_json([job.model_dump(mode="json"), checksum := _checksum(weights)]),
        weights_checksum=checksum,
    )
    save_backbone(output, backbone, record)
    logger.info("wrote %s", output)
    return published


def _voxels(job: ImportJob, published: PublishedWeights) -> VoxelGrid:
    """Return the voxels to run on, if what is said about the training does not speak against them."""
    stated = job.trained_voxels or published.voxels
    who = "the config (trained_voxels)" if job.trained_voxels else f"{published.path}"
    if stated is None and job.voxels is None:
        raise WeightsError(
            f"{published.path}\n  expected: the voxels that the network was trained on\n"
            '  found:    a file that does not say\n  way out:  --job \'{"voxels": {"kind": ..., "size_m": ...}}\''
        )
    if stated is None:
        logger.info("%s does not say on which voxels it was trained; taken to be those of this run", published.path)
        return job.voxels or VoxelGrid()
    if job.trained_voxels and published.voxels and not same_cells(job.trained_voxels, published.voxels):
        found = published.voxels.model_dump_json()
        logger.warning("%s says that it was trained on %s; the config says otherwise and counts", published.path, found)
    voxels = job.voxels or stated
    if not same_cells(stated, voxels):
        raise WeightsError(
            f"{published.path}\n  expected: weights for the voxels {voxels.model_dump_json()}\n"
            f"  found:    weights for the voxels {stated.model_dump_json()}, says {who}\n"
            "  way out:  run on these voxels; if the statement is wrong, trained_voxels in the method's row corrects it"
        )
    return voxels


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
