"""How time and memory grow with the size of the input: the same work at 1, 2, 4 and 8 times a size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from bench.engine import sweeps
from bench.measure import Case, Work
from cmcr.data.pairs import pair_points_with_pixels
from cmcr.data.scan import Camera
from cmcr.data.voxels import VoxelGrid, voxelize
from cmcr.evaluation.iou import Confusion
from cmcr.losses.code_matching import code_matching
from cmcr.losses.info_nce import info_nce
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.sparse import SparseTensor

FACTORS = (1, 2, 4, 8)
VOXELS, POINTS, PAIRS, SCORED = 8000, 35_000, 512, 35_000


def engine_work(factor: int) -> Work:
    """A small MinkUNet forwards and backwards on ``factor`` times as many voxels, of more sweeps."""
    coordinates = sweeps(factor * VOXELS)
    options = MinkUNetOptions(stem=16, planes=(16, 32, 64, 64, 64, 32, 32, 32), blocks=(1,) * 8)
    network = MinkUNet(options, in_channels=1, out_channels=None).train()
    intensity = torch.rand(len(coordinates), 1, generator=torch.Generator().manual_seed(0))

    def step() -> None:
        network.zero_grad(set_to_none=True)
        network(SparseTensor(intensity, coordinates)).square().mean().backward()

    return step


def data_work(factor: int) -> Work:
    """Pair the points of one scan with the pixels of six cameras, and voxelise them."""
    rng = np.random.default_rng(0)
    points = rng.uniform((-50, -50, -2, 0), (50, 50, 4, 1), (factor * POINTS, 4)).astype(np.float32)
    lens = np.array([[1266.0, 0, 816], [0, 1266, 491], [0, 0, 1]])
    cameras = []
    for yaw in np.deg2rad(np.arange(0, 360, 60)):
        camera_from_lidar = np.eye(4)
        camera_from_lidar[:3, :3] = [[np.sin(yaw), -np.cos(yaw), 0], [0, 0, -1], [np.cos(yaw), np.sin(yaw), 0]]
        cameras.append(Camera("camera", Path("none.jpg"), (900, 1600), lens, camera_from_lidar))
    grid = VoxelGrid(kind="cartesian", size_m=0.1)
    return lambda: (pair_points_with_pixels(points, cameras), voxelize(points[:, :3], grid))


def info_nce_work(factor: int) -> Work:
    """The contrast of ``factor`` times as many pairs; every pair is compared with every other."""
    generator = torch.Generator().manual_seed(0)
    points, pixels = (
        F.normalize(torch.randn(factor * PAIRS, 64, generator=generator), dim=1).requires_grad_() for _ in range(2)
    )
    return lambda: torch.autograd.grad(info_nce(points, pixels, 0.07), [points, pixels])


def code_matching_work(factor: int) -> Work:
    """Code matching of ``factor`` times as many pairs; every pair is compared with every other."""
    generator = torch.Generator().manual_seed(0)
    points, pixels = ((2 * torch.rand(factor * PAIRS, 400, generator=generator)).requires_grad_() for _ in range(2))
    return lambda: torch.autograd.grad(code_matching(points, pixels), [points, pixels])


def evaluation_work(factor: int) -> Work:
    """Count ``factor`` times as many scans of a segmentation into one confusion matrix."""
    rng = np.random.default_rng(0)
    label, prediction = rng.integers(0, 17, SCORED), rng.integers(1, 17, SCORED)

    def score() -> None:
        counts = Confusion(17)
        for _ in range(factor):
            counts.update(prediction, label)

    return score


def _case(title: str, work: Callable[[int], Work]) -> Case:
    def sizes() -> Mapping[str, Work]:
        return {f"{factor} times": work(factor) for factor in FACTORS}

    return Case(f"growth: {title}", sizes, stages=True)


CASES = {
    "growth_engine": _case(f"small MinkUNet, {VOXELS} voxels", engine_work),
    "growth_data": _case(f"pairing and voxels, {POINTS} points", data_work),
    "growth_info_nce": _case(f"InfoNCE, {PAIRS} pairs", info_nce_work),
    "growth_code_matching": _case(f"code matching, {PAIRS} pairs", code_matching_work),
    "growth_evaluation": _case(f"confusion matrix, scans of {SCORED} points", evaluation_work),
}
