from __future__ import annotations

import math

import pytest
import torch

from cmcr.losses.image_reconstruction import error_inside_masks, image_reconstruction


def test_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    guess, image = torch.rand(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
    masks = torch.rand(2, 4, 5, generator=generator) < 0.5
    total, inside = 0.0, [[], []]  # type: ignore[var-annotated]
    for i in range(2):
        for row in range(4):
            for column in range(5):
                errors = [float(guess[i, c, row, column] - image[i, c, row, column]) ** 2 for c in range(3)]
                total += sum(errors)
                if masks[i, row, column]:
                    inside[i] += errors
    assert image_reconstruction(guess, image).item() == pytest.approx(total / guess.numel())
    assert error_inside_masks(guess, image, masks).tolist() == pytest.approx([sum(e) / len(e) for e in inside])


def test_inside_masks_by_hand() -> None:
    image = torch.zeros(2, 3, 1, 2)
    guess = torch.tensor([0.5, 1.0]).expand(2, 3, 1, 2)
    masks = torch.tensor([[[True, False]], [[False, False]]])
    first, second = error_inside_masks(guess, image, masks).tolist()
    assert first == 0.25
    assert math.isnan(second)
    assert image_reconstruction(guess, image).item() == pytest.approx((0.25 + 1) / 2)


def test_the_diagnostic_has_no_gradient_and_the_loss_has() -> None:
    guess = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    image, masks = torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)
    assert not error_inside_masks(guess, image, masks).requires_grad
    image_reconstruction(guess, image).backward()
    torch.testing.assert_close(guess.grad, torch.full_like(image, 2 * 0.5 / 12))


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a reconstruction of"):
        image_reconstruction(torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="expected a reconstruction of"):
        error_inside_masks(torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4), torch.ones(2, 4, 4))
