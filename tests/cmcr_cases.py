"""Option sets of CMCR, and the method in its smallest form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from invented import IMAGE_CHANNELS, TINY, Flat
from numpy.typing import NDArray

from baselines.cmcr import CMCR, CMCROptions
from cmcr.data.batches import Batch
from cmcr.models.backbone import make_backbone
from cmcr.models.minkunet import MinkUNet
from cmcr.pretrain.method import Channels, Step

NO_ORTHOGONALITY = {"orthogonality_points": 0, "orthogonality_pixels": 0, "kl": 0}
NO_ESTIMATION = {"occupancy": 0, "intensity": 0}
CODEBOOK_TERMS = {"commitment_points", "commitment_pixels", "matching"}

#: The option sets of the method's docstring, and the terms that each minimises.
STEPS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "contrastive": (
        {
            "masks": {"probability": 0},
            "codebook": None,
            "replace_masked": False,
            "weights": {"reconstruction": 0} | NO_ESTIMATION | NO_ORTHOGONALITY,
        },
        {"info_nce"},
    ),
    "masked images": (
        {"codebook": None, "replace_masked": False, "weights": NO_ESTIMATION | NO_ORTHOGONALITY},
        {"info_nce", "reconstruction"},
    ),
    "occupancy": (
        {"codebook": None, "replace_masked": False, "weights": NO_ORTHOGONALITY},
        {"info_nce", "reconstruction", "occupancy", "intensity"},
    ),
    "codebook": (
        {"replace_masked": False, "weights": NO_ORTHOGONALITY},
        {"info_nce", "reconstruction", "occupancy", "intensity"} | CODEBOOK_TERMS,
    ),
    "geometry": (
        {"weights": NO_ORTHOGONALITY},
        {"info_nce", "reconstruction", "occupancy", "intensity"} | CODEBOOK_TERMS,
    ),
    "all": (
        {},
        {"info_nce", "reconstruction", "occupancy", "intensity"} | CODEBOOK_TERMS | set(NO_ORTHOGONALITY),
    ),
    "released": (
        {
            "masks": {"lose_pairs": True},
            "replace_masked": False,
            "occupancy": {"max_neighbours": 32, "queries": {"min_range_m": 0}, "head": {"relu_before_output": False}},
            "weights": {"orthogonality_pixels": 0, "kl": 0},
        },
        {"info_nce", "reconstruction", "occupancy", "intensity", "orthogonality_points"} | CODEBOOK_TERMS,
    ),
}
#: Sizes that make a test quick; the terms stay as they are.
SMALL: dict[str, Any] = {"channels": 16, "num_pairs": 128}


def bank_of(images: NDArray[np.uint8], scans: int) -> NDArray[np.float16]:
    """Return the features (scans, 2 cameras, C, h, w) of the same two images in every scan."""
    features = Flat()(torch.tensor(images).permute(0, 3, 1, 2) / 255).half().numpy()
    return np.broadcast_to(features, (scans, *features.shape))


def make(options: dict[str, Any], seed: int = 0) -> tuple[MinkUNet, CMCR]:
    """Return a backbone and the method on it."""
    torch.manual_seed(seed)
    backbone = make_backbone(TINY)
    return backbone, CMCR(CMCROptions(**(SMALL | options)), Channels(backbone.out_channels, IMAGE_CHANNELS))


def step_of(backbone: MinkUNet, batch: Batch, seed: int = 0) -> Step:
    """Return what the method is handed of ``batch``."""
    return Step(batch, backbone(batch.voxels()), Flat(), torch.Generator().manual_seed(seed))
