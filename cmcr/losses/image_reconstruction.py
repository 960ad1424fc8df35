"""How well images are reconstructed. Shapes: I images of H x W pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def image_reconstruction(reconstruction_I3HW: Tensor, images_I3HW: Tensor) -> Tensor:
    """A reconstruction should equal the image before it was masked: L_rec of CMCR (arXiv:2412.08973).

        L = mean over images, channels and pixels of  (reconstruction - image)^2

    All pixels count, masked or not, as in the released code (Eaphan/CMCR@36654d5:pretrain/lightning_trainer.py).

    Args:
        reconstruction_I3HW: (I, 3, H, W) in [0, 1].
        images_I3HW: (I, 3, H, W) unmasked images in [0, 1].

    Raises:
        ValueError: the shapes differ.
    """
    _same_shape(reconstruction_I3HW, images_I3HW)
    return F.mse_loss(reconstruction_I3HW, images_I3HW)


@torch.no_grad()
def error_inside_masks(reconstruction_I3HW: Tensor, images_I3HW: Tensor, masks_IHW: Tensor) -> Tensor:
    """Return the mean squared error of each image over its masked pixels alone: what could not be copied.

    Args:
        reconstruction_I3HW: (I, 3, H, W) in [0, 1].
        images_I3HW: (I, 3, H, W) unmasked images in [0, 1].
        masks_IHW: (I, H, W) bool, True where a pixel was masked.

    Returns:
        (I,) errors, NaN where an image has no masked pixel; ``nanmean`` gives the error of masked images. As all masked
        images have equally many masked pixels, that is the mean over pixels too.

    Raises:
        ValueError: the shapes differ.
    """
    _same_shape(reconstruction_I3HW, images_I3HW)
    error_IHW = (reconstruction_I3HW - images_I3HW).square().mean(dim=1)
    return (error_IHW * masks_IHW).sum(dim=(1, 2)) / masks_IHW.sum(dim=(1, 2))


def _same_shape(reconstruction_I3HW: Tensor, images_I3HW: Tensor) -> None:
    """Refuse to broadcast."""
    if reconstruction_I3HW.shape != images_I3HW.shape:
        raise ValueError(
            f"expected a reconstruction of the images' shape {tuple(images_I3HW.shape)}, "
            f"found {tuple(reconstruction_I3HW.shape)}"
        )
