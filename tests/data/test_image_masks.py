"""Masks cover whole patches, as many as asked, and say of each pair whether it can be seen."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from cmcr.data.batches import PairBatch
from cmcr.data.image_masks import ImageMaskOptions, black_out, draw_image_masks, pair_is_masked, unmasked_pairs
from cmcr.errors import ConfigError


def draw(count: int, size: tuple[int, int], seed: int = 0, **options: float) -> Tensor:
    return draw_image_masks(count, size, ImageMaskOptions(**options), torch.Generator().manual_seed(seed))


def pairs_at(image: list[int], row: list[float], column: list[float]) -> PairBatch:
    points = torch.arange(len(image))
    return PairBatch(points, torch.tensor(image), torch.tensor(row), torch.tensor(column))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(5, 40),
    width=st.integers(5, 40),
    patch=st.integers(1, 5),
    ratio=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_whole_patches_and_as_many_as_asked(height: int, width: int, patch: int, ratio: float, seed: int) -> None:
    masks = draw(3, (height, width), seed, probability=1.0, ratio=ratio, patch_size_px=patch)
    assert masks.shape == (3, height, width)
    rows, columns = height // patch, width // patch
    for mask in masks:
        black = 0
        for row in range(rows):
            for column in range(columns):
                cell = mask[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
                assert cell.all() or not cell.any()
                black += bool(cell.all())
        assert black == round(ratio * rows * columns)
        assert not mask[rows * patch :].any()
        assert not mask[:, columns * patch :].any()


def test_share_of_masked_images_and_of_each_patch() -> None:
    masks = draw(4000, (32, 64), probability=0.25, ratio=0.5)
    masked = masks.flatten(1).any(dim=1)
    # Four standard deviations of a coin tossed 4000 times; a patch is black in half of the masked images.
    assert abs(masked.float().mean() - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    patches = masks[masked][:, ::16, ::16].float().mean(dim=0)
    assert (patches - 0.5).abs().max() < 4 * (0.25 / masked.sum()) ** 0.5


@pytest.mark.parametrize(("options", "share"), [({"probability": 0.0}, 0.0), ({"probability": 1.0, "ratio": 1.0}, 1.0)])
def test_nothing_and_everything(options: dict[str, float], share: float) -> None:
    assert draw(5, (32, 48), **options).float().mean() == share


def test_the_generator_alone_decides() -> None:
    first, again, other = draw(8, (64, 64), seed=3), draw(8, (64, 64), seed=3), draw(8, (64, 64), seed=4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    # A larger ratio adds patches to the same ones, so runs that differ in it alone can be compared.
    more = draw(8, (64, 64), seed=3, ratio=0.75)
    assert (first <= more).all()


def test_pairs_by_their_nearest_pixel() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[1, :2, 2:] = True
    pairs = pairs_at([1, 1, 1, 1, 0], [1.4, 1.6, 0.0, 0.0, 0.0], [3.0, 3.0, 1.6, 1.4, 3.0])
    assert pair_is_masked(pairs, masks).tolist() == [True, False, True, False, False]
    kept = unmasked_pairs(pairs, masks, ImageMaskOptions(), ["scan0"])
    assert kept.point.tolist() == [1, 3, 4]


def test_pairs_are_lost_as_in_the_released_loader() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, 0] = True
    pairs = pairs_at([0, 0, 0, 0, 1, 1, 1, 2], [3.0, 0.0, 3.0, 0.0, 0.0, 1.0, 2.0, 0.0], [0.0] * 8)
    kept = unmasked_pairs(pairs, masks, ImageMaskOptions(lose_pairs=True), ["scan0"])
    # points[1 - mask] of each image: [1, 0, 1, 0], [1, 1, 1], and of a single pair itself.
    assert kept.point.tolist() == [1, 0, 1, 0, 5, 5, 5, 7]


def test_no_pair_left_names_options_and_scans() -> None:
    masks = torch.ones(1, 4, 4, dtype=torch.bool)
    with pytest.raises(ConfigError, match=r"ratio 1, patch_size_px 4: none of the 2 .* scans one, two"):
        unmasked_pairs(
            pairs_at([0, 0], [0.0, 1.0], [0.0, 1.0]),
            masks,
            ImageMaskOptions(ratio=1, patch_size_px=4),
            ["one", "two"],
        )


def test_black_out_leaves_the_original() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0] = True
    seen = black_out(images, masks)
    assert seen[0, :, 0, 0].tolist() == [0, 0, 0]
    assert torch.equal(seen[1], images[1])
    assert (images > 0).all()
    assert (seen == 0).sum() == 3


@pytest.mark.parametrize(
    ("option", "value"), [("ratio", -0.1), ("ratio", 1.5), ("probability", 2.0), ("patch_size_px", 0)]
)
def test_bad_options_are_named(option: str, value: float) -> None:
    with pytest.raises(ValidationError) as error:
        ImageMaskOptions(**{option: value})
    (problem,) = error.value.errors()
    assert problem["loc"] == (option,)
    assert problem["input"] == value


@pytest.mark.parametrize("size", [(15, 100), (100, 15)])
def test_a_patch_larger_than_the_image_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=rf"patch_size_px: .* {size[0]} x {size[1]} pixels, found 16"):
        draw(1, size)
