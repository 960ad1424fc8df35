"""`DiagnoseJob`: one look into a pre-trained backbone as the workflow describes it."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from cmcr.compute import ComputeOptions
from cmcr.data.images import ImageOptions
from cmcr.data.voxels import VoxelGrid
from cmcr.evaluation.shared_information import CriticOptions
from cmcr.models.image_encoder import TeacherOptions
from cmcr.models.minkunet import MinkUNetOptions
from cmcr.options import Options


class DiagnosticsOptions(Options):
    """What the table of diagnostics is measured on: scans evenly spread over each split, points drawn from each.

    All methods and seeds are asked at the same points. Their features are held in memory: 4 bytes for each channel.
    """

    fit_scans: PositiveInt = 20
    """Scans of the training split that linear maps and critics are fitted to, if it has as many."""
    scans: PositiveInt = 10
    """Scans of the validation split that everything is measured on, if it has as many."""
    points_per_scan: PositiveInt = 2000
    """Points drawn from each scan, if it has as many."""
    critic: CriticOptions = CriticOptions()
    """The critic behind the bound on shared information."""


class DiagnoseJob(Options):
    """Everything that decides the outcome of one look, besides data, weights and code."""

    dataset: str
    """Id of the data set: that of pre-training."""
    toy: bool
    """Whether it is the toy city."""
    pretrain_dataset: str
    """Id of the data set of pre-training; ``none`` without pre-training."""
    method: str
    """Id of the method that made the backbone."""
    seed: NonNegativeInt
    """Seed of pre-training, and of critics and permutations."""
    backbone: MinkUNetOptions
    """The 3D network."""
    voxels: VoxelGrid
    """Its voxels."""
    images: ImageOptions
    """Size of the images and depth of the pairs; crops are left out."""
    teacher: TeacherOptions
    """The image encoder."""
    options: DiagnosticsOptions
    """What is measured."""
    compute: ComputeOptions
    """Device and threads."""
