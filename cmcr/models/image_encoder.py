"""Frozen image encoders, from transformers. They teach; no gradient ever reaches them.

Shapes: I images of H x W pixels, C channels, h x w feature cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from cmcr.checkpoints import described, load_strictly, read_tensors
from cmcr.errors import WeightsError
from cmcr.models.torchvision import from_torchvision
from cmcr.options import Options

#: Channel statistics of ImageNet, with which all published encoders here were trained.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

WHERE_TO_GET = {
    "resnet50": "MoCo v2: https://github.com/facebookresearch/moco (800 epochs); ImageNet: torchvision's resnet50 file",
    "dinov2": "a local copy of https://huggingface.co/facebook/dinov2-small (config.json and model.safetensors)",
}


class SmallTeacherOptions(Options):
    """A small ResNet pre-trained without labels on the run's own images, for when nothing can be downloaded."""

    kind: Literal["small"] = "small"
    """Which encoder this block describes."""
    hidden_sizes: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of the stages; each halves the resolution, the first works at a quarter of it."""
    out_channels: int = 64
    """Channels kept of all stages together, after whitening."""


class ResNet50TeacherOptions(Options):
    """ResNet-50 with weights from a local file in torchvision's layout (MoCo v2, SwAV, ImageNet)."""

    kind: Literal["resnet50"]
    """Which encoder this block describes."""
    weights: Path
    """The weight file; it is read without executing anything in it."""


class DINOv2TeacherOptions(Options):
    """DINOv2 from a local folder in transformers' layout."""

    kind: Literal["dinov2"]
    """Which encoder this block describes."""
    weights: Path
    """The folder with ``config.json`` and ``model.safetensors``."""


TeacherOptions = Annotated[
    SmallTeacherOptions | ResNet50TeacherOptions | DINOv2TeacherOptions, Field(discriminator="kind")
]


class ImageEncoder(nn.Module):
    """Base of the encoders: images in [0, 1] go in, a map of features comes out."""

    out_channels: int

    def forward(self, images: Tensor) -> Tensor:
        """Encode (I, 3, H, W) images in [0, 1] to (I, C, h, w) features."""
        raise NotImplementedError

    def frozen(self) -> ImageEncoder:
        """Return this encoder in eval mode and without gradients."""
        return self.requires_grad_(False).eval()


class SmallResNet(ImageEncoder):
    """A ResNet of basic blocks whose stages are all used: resized to the first stage's grid, joined and whitened.

    Early stages hold texture and colour, late ones context; untrained or briefly trained networks lose much of the
    former in the last stage, so all are kept (hypercolumns, arXiv:1411.5752). ``whitening`` is fitted after training:
    the principal components of the joined features, each scaled to unit variance, so that no stage outweighs the rest.
    """

    def __init__(self, options: SmallTeacherOptions):
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        config = ResNetConfig(
            embedding_size=options.hidden_sizes[0],
            hidden_sizes=list(options.hidden_sizes),
            depths=[1] * len(options.hidden_sizes),
            layer_type="basic",
        )
        self.network = ResNetModel(config)
        self.whitening = nn.Conv2d(sum(options.hidden_sizes), options.out_channels, 1)
        self.out_channels = options.out_channels

    def stages(self, images: Tensor) -> Tensor:
        """Return (I, sum of hidden sizes, h, w) features of all stages at a quarter of the images' resolution."""
        hidden = self.network((images - 0.5) / 0.25, output_hidden_states=True).hidden_states[1:]
        size = hidden[0].shape[-2:]
        same_size = [F.interpolate(map_, size, mode="bilinear", align_corners=False) for map_ in hidden]
        return torch.cat(same_size, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """See `ImageEncoder.forward`; C = ``out_channels``, h x w = H/4 x W/4."""
        return self.whitening(self.stages(images))

    @torch.no_grad()
    def fit_whitening(self, images: Tensor) -> None:
        """Fit ``whitening`` to the features of ``images`` (I, 3, H, W)."""
        width, count = self.whitening.in_channels, 0
        total, products = torch.zeros(width).double(), torch.zeros(width, width).double()
        for part in images.split(16):
            cells = self.stages(part).permute(0, 2, 3, 1).flatten(0, 2).double()
            count, total, products = count + len(cells), total + cells.sum(0), products + cells.T @ cells
        mean = total / count
        variance, direction = torch.linalg.eigh(products / count - mean[:, None] * mean)
        variance, direction = variance.flip(0)[: self.out_channels], direction.flip(1)[:, : self.out_channels]
        # The sign of an eigenvector is arbitrary and may differ between machines; fix it by its largest entry.
        direction = direction * direction.gather(0, direction.abs().argmax(0, keepdim=True)).sign()
        scaled = (direction / (variance + 1e-4 * variance[0]).sqrt()).T
        self.whitening.weight.copy_(scaled[:, :, None, None])
        self.whitening.bias.copy_(-scaled @ mean)  # type: ignore[union-attr]


def _standardised(images: Tensor) -> Tensor:
    """Return images in [0, 1] with ImageNet's mean and deviation taken out."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


class ResNet50(ImageEncoder):
    """The last stage of a ResNet-50, 2048 channels at 1/32 of the resolution (the teacher of PPKT and CMCR)."""

    out_channels = 2048

    def __init__(self) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        self.network = ResNetModel(ResNetConfig())

    def forward(self, images: Tensor) -> Tensor:
        """See `ImageEncoder.forward`; C = 2048, h x w = H/32 x W/32."""
        return self.network(_standardised(images)).last_hidden_state


class DINOv2(ImageEncoder):
    """Patch tokens of a DINOv2 vision transformer (arXiv:2304.07193), 14 x 14 pixels each."""

    def __init__(self, folder: Path):
        """Read the network from ``folder``; transformers knows the names that its parts have had over the years.

        Raises:
            WeightsError: the folder's files are missing, damaged or do not fit each other.
        """
        from transformers import Dinov2Model

        super().__init__()
        with described(folder / "config.json", read_tensors(folder / "model.safetensors")):
            self.network, found = Dinov2Model.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
            )
        # Left alone, transformers would draw what is missing at random.
        astray = {kind: sorted(map(str, names)) for kind, names in found.items() if names}
        if astray:
            raise WeightsError(
                f"{folder}: the weights do not fit config.json: "
                + "; ".join(f"{kind}: {names[0]} ({len(names)} in all)" for kind, names in astray.items())
                + f"\n  way out:  {WHERE_TO_GET['dinov2']}"
            )
        self.out_channels = self.network.config.hidden_size

    def forward(self, images: Tensor) -> Tensor:
        """See `ImageEncoder.forward`; images are resized to the nearest multiple of the patch size first."""
        patch = self.network.config.patch_size
        h, w = (max(1, round(side / patch)) for side in images.shape[-2:])
        images = F.interpolate(images, (h * patch, w * patch), mode="bilinear", align_corners=False)
        tokens = self.network(_standardised(images)).last_hidden_state[:, 1:]
        return tokens.transpose(1, 2).unflatten(2, (h, w))


def encoder_files(options: SmallTeacherOptions | ResNet50TeacherOptions | DINOv2TeacherOptions) -> list[Path]:
    """Return the files that a published encoder is read from, whether they are there or not; of a small one, none."""
    if isinstance(options, SmallTeacherOptions):
        return []
    if isinstance(options, DINOv2TeacherOptions):
        return [options.weights / name for name in ("config.json", "model.safetensors")]
    return [options.weights]


def published_files(options: SmallTeacherOptions | ResNet50TeacherOptions | DINOv2TeacherOptions) -> list[Path]:
    """Return the files that a published encoder is read from; none for a small one, which the run trains.

    Raises:
        WeightsError: they are not there; the message says where to get them.
    """
    files = encoder_files(options)
    for file in files:
        if not file.is_file():
            raise WeightsError(
                f"{file}: no such file (config key teacher.weights)\n  way out:  {WHERE_TO_GET[options.kind]}"
            )
    return files


def make_image_encoder(
    options: SmallTeacherOptions | ResNet50TeacherOptions | DINOv2TeacherOptions, weights: Path | None = None
) -> ImageEncoder:
    """Build a frozen encoder and load its weights strictly.

    Args:
        options: which encoder.
        weights: the file of a ``small`` encoder made by this run; the others carry their own path.

    Raises:
        WeightsError: the file is missing or does not fit; the message says where to get it.
    """
    if isinstance(options, SmallTeacherOptions):
        if weights is None:
            raise WeightsError("the small image encoder needs the weight file that `cmcr train-teacher` writes")
        small = SmallResNet(options)
        load_strictly(small, read_tensors(weights), weights)
        return small.frozen()
    published_files(options)
    if isinstance(options, ResNet50TeacherOptions):
        resnet = ResNet50()
        load_strictly(resnet.network, from_torchvision(read_tensors(options.weights), options.weights), options.weights)
        return resnet.frozen()
    return DINOv2(options.weights).frozen()
