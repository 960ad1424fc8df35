"""From the features of an image back to its colours: the decoder of masked image modelling."""

from __future__ import annotations

from torch import Tensor, nn

from cmcr.errors import ConfigError


def decoded_size(image_size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """Return height and width at which an image of ``image_size`` is decoded.

    Raises:
        ConfigError: they are no whole numbers.
    """
    height, width = image_size
    if height % divisor or width % divisor:
        raise ConfigError(
            f"decoder_divisor: it must divide both sides of the images of {height} x {width} pixels, found {divisor}\n"
            "  way out:  another divisor (1 always works), or another size of the images"
        )
    return height // divisor, width // divisor


class ImageDecoder(nn.Module):
    """Reconstruct an image from its specific features and its quantised shared ones (CMCR, arXiv:2412.08973).

        image = sigmoid(conv(relu(conv(relu(conv(G + Q))))))

    The convolutions are 3x3 and narrow from C over C/2 and C/4 to 3 channels: 64, 32, 16, 3 in the released code
    (Eaphan/CMCR@36654d5:pretrain/lightning_trainer.py, ``image_recons_decoder``).
    """

    def __init__(self, channels: int):
        """Build the decoder.

        Args:
            channels: C, a multiple of 4.

        Raises:
            ConfigError: it is not.
        """
        super().__init__()
        if channels < 4 or channels % 4:
            raise ConfigError(
                f"channels: the image decoder halves them twice, so they must be a multiple of 4, found {channels}"
            )
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 2, channels // 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, 3, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, specific_ICHW: Tensor, quantised_ICHW: Tensor) -> Tensor:
        """Return (I, 3, H, W) colours in (0, 1).

        Args:
            specific_ICHW: (I, C, H, W) G2D, at the resolution that is to be reconstructed.
            quantised_ICHW: (I, C, H, W) Q2D, with or without replaced features.
        """
        return self.layers(specific_ICHW + quantised_ICHW)
