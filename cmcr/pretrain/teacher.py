"""Pre-training the small image encoder on a run's own images, without labels.

Dense contrastive learning (after arXiv:2011.09157): two views of an image are cut out and altered, and a pixel of one
should resemble the same place in the other more than any other place of any image in the step. The contrast is applied
to all stages joined, so that early ones learn along with the last.

Shapes: I images, B images of a step, N places (``places_per_image`` times B), C channels.
"""

from __future__ import annotations

import logging
from typing import Annotated, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from cmcr.losses.info_nce import info_nce
from cmcr.models.image_encoder import SmallResNet, SmallTeacherOptions
from cmcr.options import Options
from cmcr.recipe import schedule_factor

logger = logging.getLogger(__name__)

#: Images on which the whitening is fitted, spread evenly over the run's.
WHITENING_IMAGES = 192


class TeacherRecipe(Options):
    """How the small image encoder is pre-trained.

    Sizes and jitter were chosen here on the toy city, by a linear classifier that reads the class of a LiDAR point from
    the features at its pixel.
    """

    steps: PositiveInt = 300
    """Steps of the optimiser."""
    images_per_step: PositiveInt = 16
    """Images of a step; each gives two views."""
    places_per_image: PositiveInt = 96
    """Places of an image that are contrasted with one another and with those of the step's other images."""
    lr: PositiveFloat = 2e-3
    """Highest learning rate of AdamW (one cycle)."""
    weight_decay: NonNegativeFloat = 1e-2
    """Weight decay of AdamW."""
    temperature: PositiveFloat = 0.1
    """Temperature of the contrast."""
    channels: PositiveInt = 64
    """Width of the space in which the views meet."""
    view_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Sides of a view's pixel grid as a share of the image's: small, so that a step affords more images."""
    smallest_crop: Annotated[float, Field(ge=0.5, le=1)] = 0.5
    """Sides of the smallest region a view shows, as a share of the image's; the largest is the whole image. From half
    the sides up, two regions always overlap."""
    colour_jitter: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Largest change of brightness, contrast and saturation, as a share; mild, because colour tells classes apart."""
    noise: NonNegativeFloat = 0.03
    """Largest standard deviation of pixel noise, on the scale of [0, 1]."""


class Images(Protocol):
    """I images of one size, for example a (I, 3, H, W) uint8 tensor or array, or files read on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: NDArray[np.int64], /) -> Tensor | NDArray[np.uint8]:
        """Return the images numbered ``chosen`` (B,) as (B, 3, H, W) uint8."""


class Crops(NamedTuple):
    """The region of its image that each view shows: image position = ``scale`` * view position + ``shift``.

    Positions are (x, y) in [-1, 1] from edge to edge, as in ``torch.nn.functional.grid_sample``. A negative scale in x
    mirrors the view.
    """

    scale_B2: Tensor
    shift_B2: Tensor

    def edges(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest image position (B, 2) of each region."""
        return self.shift_B2 - self.scale_B2.abs(), self.shift_B2 + self.scale_B2.abs()


def train_teacher(options: SmallTeacherOptions, recipe: TeacherRecipe, images: Images, seed: int) -> SmallResNet:
    """Pre-train a small image encoder without labels; return it frozen, its whitening fitted.

    Args:
        options: the encoder.
        recipe: how to train it.
        images: I images.
        seed: of initialisation, order, views and places.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, head = SmallResNet(options), make_head(options, recipe)
    parameters = [*encoder.network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule_factor("one_cycle", step, recipe.steps)
    )
    encoder.train()
    for step in range(1, recipe.steps + 1):
        chosen = torch.randint(len(images), (recipe.images_per_step,), generator=generator)
        loss = contrast(encoder, head, as_floats(images, chosen), recipe, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, recipe.steps // 20) == 0:
            logger.info("teacher step %d/%d  info_nce=%.4f", step, recipe.steps, loss.item())
    encoder.frozen()
    spread = torch.linspace(0, len(images) - 1, min(WHITENING_IMAGES, len(images))).long()
    encoder.fit_whitening(as_floats(images, spread))
    return encoder


def make_head(options: SmallTeacherOptions, recipe: TeacherRecipe) -> nn.Module:
    """Build what leads from all stages joined to the space of the contrast; thrown away after training."""
    width, hidden = sum(options.hidden_sizes), 2 * recipe.channels
    # Normalised first, so that every stage has its say.
    return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, recipe.channels))


def as_floats(images: Images, chosen: Tensor) -> Tensor:
    """Return the ``chosen`` images as float32 in [0, 1]."""
    return torch.as_tensor(images[chosen.numpy()]).float().div_(255)


def contrast(
    encoder: SmallResNet, head: nn.Module, images: Tensor, recipe: TeacherRecipe, generator: torch.Generator
) -> Tensor:
    """InfoNCE, in both directions, between the same places in two views of each of the images (B, 3, H, W)."""
    first, second = (draw_crops(len(images), recipe.smallest_crop, generator) for _ in range(2))
    places_BN2 = draw_places(first, second, recipe.places_per_image, generator)
    size = [max(32, round(side * recipe.view_share / 32) * 32) for side in images.shape[-2:]]
    embedded = []
    for crops in (first, second):
        maps = encoder.stages(alter(cut(images, crops, size), recipe, generator))
        embedded.append(F.normalize(head(read_at(maps, places_BN2, crops)), dim=1))
    one_NC, other_NC = embedded
    return (info_nce(one_NC, other_NC, recipe.temperature) + info_nce(other_NC, one_NC, recipe.temperature)) / 2


def draw_crops(number: int, smallest: float, generator: torch.Generator) -> Crops:
    """Draw a region for each of ``number`` images, its sides from ``smallest`` to 1 of the image's, half mirrored."""
    random_B5 = torch.rand(number, 5, generator=generator)
    scale_B2 = smallest + (1 - smallest) * random_B5[:, :2]
    shift_B2 = (1 - scale_B2) * (2 * random_B5[:, 2:4] - 1)
    mirrored = torch.where(random_B5[:, 4] < 0.5, -1.0, 1.0)
    return Crops(scale_B2 * torch.stack([mirrored, torch.ones(number)], dim=1), shift_B2)


def draw_places(first: Crops, second: Crops, number: int, generator: torch.Generator) -> Tensor:
    """Draw ``number`` image positions (B, number, 2) that both views of each image show.

    Regions of at least half the image's sides always overlap (`TeacherRecipe.smallest_crop`).
    """
    low_B2 = torch.maximum(first.edges()[0], second.edges()[0])
    high_B2 = torch.minimum(first.edges()[1], second.edges()[1])
    share_BN2 = torch.rand(len(low_B2), number, 2, generator=generator)
    return low_B2[:, None] + share_BN2 * (high_B2 - low_B2)[:, None]


def cut(images: Tensor, crops: Crops, size: list[int]) -> Tensor:
    """Resample the region of each image to (B, 3, *size)."""
    theta_B23 = torch.cat([torch.diag_embed(crops.scale_B2), crops.shift_B2[:, :, None]], dim=2)
    grid = F.affine_grid(theta_B23, [len(images), 3, *size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def alter(views: Tensor, recipe: TeacherRecipe, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and sharpness of (B, 3, h, w) views a little, and add noise."""
    random_B5 = torch.rand(len(views), 5, 1, 1, 1, generator=generator)
    factor_B3 = 1 + recipe.colour_jitter * (2 * random_B5[:, :3] - 1)
    views = views * factor_B3[:, 0]
    views = torch.lerp(views.mean((1, 2, 3), keepdim=True), views, factor_B3[:, 1])
    views = torch.lerp(views.mean(1, keepdim=True), views, factor_B3[:, 2])
    blurred = F.avg_pool2d(views, 3, stride=1, padding=1, count_include_pad=False)
    views = torch.lerp(views, blurred, random_B5[:, 3])
    noise = torch.randn(views.shape, generator=generator)
    return (views + recipe.noise * random_B5[:, 4] * noise).clamp(0, 1)


def read_at(maps_BChw: Tensor, places_BN2: Tensor, crops: Crops) -> Tensor:
    """Read the maps of views at image positions, bilinear: (B * N, C)."""
    inside_BN2 = (places_BN2 - crops.shift_B2[:, None]) / crops.scale_B2[:, None]
    read_BCN = F.grid_sample(maps_BChw, inside_BN2[:, :, None], padding_mode="border", align_corners=False).squeeze(3)
    return read_BCN.transpose(1, 2).flatten(0, 1)
