"""`PretrainMethod`: the base of every pre-training method, and what it is handed at each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from cmcr.data.batches import Batch, PairBatch
from cmcr.models.backbone import BatchNormStatistics
from cmcr.models.sampling import sample_pixels
from cmcr.options import Options as AnyOptions
from cmcr.pretrain.views import Matched, Rebuilt, Shows, Survey


class NoOptions(AnyOptions):
    """A method without options."""


@dataclass(frozen=True)
class Source:
    """Where a method comes from, for tables and readers."""

    paper: str
    code: str = ""


class Channels(NamedTuple):
    """Widths that a method's heads have to fit: of the 3D backbone and of the image encoder."""

    points: int
    image: int


@dataclass(frozen=True, eq=False)
class Step:
    """What a method sees of one training step. P points, V voxels, I images.

    Attributes:
        batch: the scans; it holds no labels.
        voxel_VC: (V, C) output of the 3D backbone.
        encode: runs the frozen image encoder on (I, 3, H, W) images; used by methods that change the images.
        generator: the only source of randomness, seeded by run and step.
        log: scalars that the method puts here are logged beside its losses and not minimised; the same names each step.
    """

    batch: Batch
    voxel_VC: Tensor
    encode: Callable[[Tensor], Tensor]
    generator: torch.Generator = field(repr=False)
    log: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def pairs(self) -> PairBatch:
        """All matched points and pixels of the batch."""
        if self.batch.pairs is None:
            raise ValueError("this batch has no images; the method must declare needs_images = True")
        return self.batch.pairs

    @property
    def pixels_I3HW(self) -> Tensor:
        """(I, 3, H, W) the unchanged images, in [0, 1]."""
        if self.batch.images is None:
            raise ValueError("this batch has no pixels; the method must declare needs_images and needs_pixels = True")
        return self.batch.images

    @property
    def superpixels_IHW(self) -> Tensor:
        """(I, H, W) int64 superpixel of each pixel, numbered within its image."""
        if self.batch.superpixels is None:
            raise ValueError("this batch has no superpixels; the method must declare needs_superpixels = True")
        return self.batch.superpixels

    @cached_property
    def image_ICHW(self) -> Tensor:
        """(I, C, h, w) features of the unchanged images."""
        return self.encode(self.pixels_I3HW) if self.batch.image_features is None else self.batch.image_features

    def encode_changed(self, images_I3HW: Tensor, changed_I: Tensor) -> Tensor:
        """(I, C, h, w) features of the batch's images after some were changed; computed beforehand for the others."""
        if self.batch.image_features is None:
            return self.encode(images_I3HW)
        if not changed_I.any():
            return self.image_ICHW
        return self.image_ICHW.index_put((changed_I,), self.encode(images_I3HW[changed_I]).to(self.image_ICHW.dtype))

    def points_at(self, pairs: PairBatch) -> Tensor:
        """(N, C) backbone features of the pairs' points: those of the voxel each lies in."""
        return self.voxel_VC[self.batch.voxel_P[pairs.point]]

    def pixels_at(self, pairs: PairBatch, features_ICHW: Tensor | None = None) -> Tensor:
        """(N, C) image features at the pairs' pixels, bilinear; of the encoder unless others are given."""
        features_ICHW = self.image_ICHW if features_ICHW is None else features_ICHW
        return sample_pixels(features_ICHW, pairs, self.batch.image_size)


class Setting(NamedTuple):
    """What a run offers its methods: the 3D backbone, and the data set of pre-training."""

    backbone: str
    dataset: str
    has_cameras: bool


class PretrainMethod(nn.Module):
    """One way to pre-train the 3D backbone. A plug-in is a file in ``baselines/`` with one subclass.

    A subclass sets the class attributes, builds its heads in ``__init__`` and returns its losses. Their sum is
    minimised; each is logged under its name. The backbone is kept afterwards, and the method's own weights beside it.
    Labels are not among what a method can ask for: no step carries any.

    Attributes:
        id: the name in configs, folders and scores; equals the file's name.
        label: the name in tables and figures.
        source: paper and code.
        Options: the method's options with defaults; the config can change them.
        needs_images: whether steps carry images, or their features, and pairs.
        needs_pixels: whether steps carry the images even if their features were computed beforehand; an instance may
            set it according to its options.
        needs_superpixels: whether steps carry the superpixels of the images.
        backbones: ids of the 3D networks that the method is defined for.
        pretrains: False for the floor: the backbone stays as it was initialised.
        probe_batch_norm: which BatchNorm statistics a linear probe tries; the strongest gives the row.
    """

    id: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[Source]
    Options: ClassVar[type[AnyOptions]] = NoOptions
    needs_images: ClassVar[bool] = True
    needs_pixels: bool = False
    needs_superpixels: ClassVar[bool] = False
    backbones: ClassVar[tuple[str, ...]] = ("minkunet", "voxelnet")
    pretrains: ClassVar[bool] = True
    probe_batch_norm: ClassVar[tuple[BatchNormStatistics, ...]] = ("stored",)

    def __init__(self, options: AnyOptions, channels: Channels):
        super().__init__()
        self.options, self.channels = options, channels

    @classmethod
    def why_not(cls, setting: Setting) -> str | None:
        """Return why the method does not apply to a run, None if it does; its cells are then n/a for that reason."""
        if setting.backbone not in cls.backbones:
            return f"{cls.label} is defined for {' and '.join(cls.backbones)}, not for {setting.backbone}"
        if (cls.needs_images or cls.needs_superpixels) and not setting.has_cameras:
            needed = "superpixels of images" if cls.needs_superpixels else "images"
            return f"{cls.label} needs {needed}, and {setting.dataset} has no cameras"
        return None

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Return the named losses of one step, each a scalar, already weighted."""
        raise NotImplementedError

    def point_heads(self, voxel_VC: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the named (V, C) outputs of the method's heads on backbone features; none by default.

        A name stands for one idea in both modalities: ``shared`` features meet, ``specific`` ones are kept apart.
        """
        return {}

    def pixel_heads(self, image_ICHW: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the named (I, C, h, w) outputs of the method's heads on the encoder's features; none by default."""
        return {}

    @classmethod
    def shows(cls, options: AnyOptions) -> Shows:  # noqa: ARG003
        """Say what a method with these options can show of itself; nothing by default.

        The workflow asks for the pictures and measures of what is named here, and so calls the methods below, in
        evaluation mode, on scans as they come, that training never saw.
        """
        return Shows()

    def match(self, step: Step) -> Matched:
        """Return the pairs that a step of training draws, and their codes, if `shows` says ``pairs`` or ``codes``."""
        raise NotImplementedError

    def rebuild(self, step: Step) -> Rebuilt:
        """Mask every image and rebuild it, if `shows` says ``reconstruction``."""
        raise NotImplementedError

    def survey(self, step: Step) -> Survey:
        """Return places with what is there, and how to ask about any place, if `shows` says ``occupancy``."""
        raise NotImplementedError
