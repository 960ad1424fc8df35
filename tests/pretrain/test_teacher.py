"""The teacher's pre-training: views are matched where they show the same place, and the outcome is the seed's alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from cmcr.models.image_encoder import SmallResNet, SmallTeacherOptions
from cmcr.pretrain.teacher import (
    TeacherRecipe,
    alter,
    contrast,
    cut,
    draw_crops,
    draw_places,
    make_head,
    read_at,
    train_teacher,
)

TINY = SmallTeacherOptions(hidden_sizes=(8, 16), out_channels=12)
RECIPE = TeacherRecipe(steps=12, images_per_step=4, places_per_image=16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(number: int = 6) -> Tensor:
    """Draw uint8 images (number, 3, 64, 96) of coloured blocks."""
    blocks = torch.randint(0, 256, (number, 3, 8, 12), generator=seeded(), dtype=torch.uint8)
    return F.interpolate(blocks, scale_factor=8, mode="nearest")


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), smallest=st.floats(0.5, 1))
def test_places_lie_in_the_image_and_in_both_views(seed: int, smallest: float):
    generator = seeded(seed)
    crops = [draw_crops(5, smallest, generator) for _ in range(2)]
    places = draw_places(*crops, 20, generator)
    assert places.shape == (5, 20, 2)
    for crop in crops:
        inside = (places - crop.shift_B2[:, None]) / crop.scale_B2[:, None]
        assert inside.abs().max() <= 1 + 1e-5
        low, high = crop.edges()
        assert low.min() >= -1 - 1e-6
        assert high.max() <= 1 + 1e-6
        assert (high - low).min() >= 2 * smallest - 1e-5


def test_half_of_the_views_are_mirrored():
    scale = draw_crops(1000, 0.5, seeded()).scale_B2
    assert (scale[:, 1] > 0).all()
    assert (scale[:, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_a_place_shows_the_same_in_every_view():
    """In images of x and y themselves, each view must read a place's own position there, mirrored or not."""
    height, width = 64, 96
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height * 2 - 1, (torch.arange(width) + 0.5) / width * 2 - 1, indexing="ij"
    )
    position = torch.stack([x, y, torch.zeros_like(x)]).expand(8, 3, -1, -1)
    generator = seeded()
    crops = [draw_crops(8, 0.5, generator) for _ in range(2)]
    places = 0.9 * draw_places(*crops, 10, generator)  # away from the rim, where bilinear reading stops short
    for crop in crops:
        inside = ((places - crop.shift_B2[:, None]) / crop.scale_B2[:, None]).abs().amax(2).flatten() < 0.95
        read = read_at(cut(position, crop, [64, 96]), places, crop)[:, :2]
        assert inside.sum() > 40
        torch.testing.assert_close(read[inside], places.flatten(0, 1)[inside], rtol=0, atol=1e-3)


def test_alteration_is_mild_and_stays_in_range():
    views = images().float() / 255
    sharpness_alone = alter(views, TeacherRecipe(colour_jitter=0, noise=0), seeded())
    torch.testing.assert_close(
        sharpness_alone[:, :, 4, 4], views[:, :, 4, 4]
    )  # within a block there is nothing to blur
    assert not torch.allclose(sharpness_alone, views)
    altered = alter(views, TeacherRecipe(colour_jitter=1, noise=1), seeded())
    assert altered.min() >= 0
    assert altered.max() <= 1
    assert (alter(views, RECIPE, seeded()) - views).abs().mean() < 0.2


def test_regions_that_might_not_overlap_are_refused():
    with pytest.raises(ValidationError, match="smallest_crop"):
        TeacherRecipe(smallest_crop=0.49)


def test_every_stage_learns():
    torch.manual_seed(0)
    encoder = SmallResNet(TINY)
    head = make_head(TINY, RECIPE)
    contrast(encoder, head, images().float() / 255, RECIPE, seeded()).backward()
    without = [n for n, p in encoder.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_the_outcome_is_the_seeds_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = train_teacher(TINY, RECIPE, images(), seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    again = train_teacher(TINY, RECIPE, images().numpy(), seed=1)
    other = train_teacher(TINY, RECIPE, images(), seed=2)
    name = "whitening.weight"
    assert all(torch.equal(first.state_dict()[n], t) for n, t in again.state_dict().items())
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_the_encoder_comes_frozen_and_whitened():
    encoder = train_teacher(TINY, RECIPE, images(), seed=0)
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    features = encoder(images().float() / 255)
    assert features.shape == (6, 12, 16, 24)
    np.testing.assert_allclose(features.var((0, 2, 3))[:4], 1, rtol=0.1)


def test_training_tells_places_apart():
    """After training, two views of images agree on their places better than the untrained encoder's did."""

    def loss(steps: int) -> float:
        recipe = TeacherRecipe(steps=steps, images_per_step=6, places_per_image=16)
        encoder = train_teacher(TINY, recipe, images(), seed=0)
        with torch.no_grad():
            crops = [draw_crops(6, 0.5, generator) for generator in (seeded(1), seeded(2))]
            places = draw_places(*crops, 16, seeded(3))
            maps = [encoder(cut(images().float() / 255, crop, [64, 96])) for crop in crops]
            views = [F.normalize(read_at(map_, places, crop), dim=1) for map_, crop in zip(maps, crops, strict=True)]
        return F.cross_entropy(views[0] @ views[1].T / 0.1, torch.arange(96)).item()

    assert loss(60) < loss(1) - 0.3
