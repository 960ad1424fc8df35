"""Random changes of points and images; the pixels paired with points follow their image.

Points are turned, mirrored and scaled about the sensor, so each change is one 3x3 matrix, which also turns whatever
else lives in the LiDAR frame. An image is cropped, resized and mirrored by a `Window`, which also moves pixel numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from cmcr.options import Options

Probability = Annotated[float, Field(ge=0, le=1)]
#: Of a pixel: a colour or, in 16 bits, the number of a superpixel.


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the lower limit {limits[0]} lies above the upper one {limits[1]}")
    return limits


class CuboidDrop(Options):
    """A random cuboid around a random point is emptied, as in the pre-training of the SLidR family.

    (valeoai/SLidR@14729d0, utils/transforms.py, ``DropCuboids``, after the points were turned and mirrored.)
    """

    largest_share: Probability = 0.2
    """Each side is the same share of the scan's extent along its axis, drawn between 0 and this."""
    enough_pairs: NonNegativeInt = 1024
    """Nothing is dropped where a camera would keep fewer pairs than this."""


class PointAugmentation(Options):
    """Random changes of a scan's points.

    The defaults are those of pre-training and of nuScenes fine-tuning in the SLidR family (valeoai/SLidR@14729d0,
    utils/transforms.py): a full turn, both flips, no scaling. The recipe of SECOND on KITTI is
    ``rotation_deg: 45, flip_x: 0, flip_y: 0.5, scale: [0.95, 1.05]``, where x points forward.
    """

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 180.0
    """Turn about the z axis by an angle drawn from minus to plus this many degrees; 180 is a full turn, 0 none."""
    flip_x: Probability = 0.5
    """Probability that x changes its sign."""
    flip_y: Probability = 0.5
    """Probability that y changes its sign."""
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)] = (1.0, 1.0)
    """Limits of the factor by which all lengths are multiplied."""
    drop_cuboid: CuboidDrop | None = None
    """Drop the points in a random cuboid; null drops none. (SLidR's recipes, PPKT's among them: ``{}``.)"""

    def merged_with(self, overrides: Mapping[str, Any]) -> Self:
        """Return these options with some of their fields replaced (and checked again)."""
        return type(self).model_validate({**self.model_dump(), **overrides})


def augment_points(
    points_P4: NDArray[np.float32], options: PointAugmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Turn, then mirror, then scale the points of one scan.

    Args:
        points_P4: (P, 4) float32, x y z in metres in the LiDAR frame, and intensity, which stays as it is.
        options: what may happen.
        rng: draws four numbers, whatever the options are.

    Returns:
        The changed points, a new (P, 4) float32 array, and the (3, 3) float64 matrix M of ``new = M @ old``.
    """
    turn, mirror_x, mirror_y, stretch = rng.random(4)
    angle = np.deg2rad(options.rotation_deg) * (2 * turn - 1)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    flip = np.diag([-1.0 if mirror_x < options.flip_x else 1.0, -1.0 if mirror_y < options.flip_y else 1.0, 1.0])
    low, high = options.scale
    matrix = (low + (high - low) * stretch) * flip @ rotation

    changed = points_P4.astype(np.float32, copy=True)
    changed[:, :3] = points_P4[:, :3].astype(np.float64) @ matrix.T
    return changed, matrix


def outside_cuboid(points_P4: NDArray[np.float32], options: CuboidDrop, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a cuboid around one of the points and return the (P,) mask of those that are not inside it.

    Args:
        points_P4: (P, 4) float32, at least one; x y z in metres.
        options: its size.
        rng: draws two numbers.
    """
    share, chosen = rng.random() * options.largest_share, rng.integers(len(points_P4))
    xyz_P3 = points_P4[:, :3]
    half_3 = np.ptp(xyz_P3, axis=0) * (share / 2)
    return ~(np.abs(xyz_P3 - xyz_P3[chosen]) < half_3).all(axis=1)


class ImageCrop(Options):
    """Random resized crop and flip of a camera's image.

    The defaults are those of the SLidR family (valeoai/SLidR@14729d0, utils/transforms.py, ``ResizedCrop`` and
    ``FlipHorizontal``).
    """

    area: Annotated[tuple[Probability, Probability], AfterValidator(_rising)] = (0.3, 1.0)
    """Limits of the crop's share of the image's area."""
    ratio: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)] = (14 / 9, 17 / 9)
    """Limits of the crop's width divided by its height; the logarithm is drawn uniformly."""
    flip: Probability = 0.5
    """Probability that the crop is mirrored left to right."""
    enough_pairs: NonNegativeInt = 1024
    """A crop is good if it keeps more pairs than this,"""
    enough_share: Probability = 0.75
    """or at least this share of the image's pairs."""
    tries: PositiveInt = 100
    """Crops that are drawn before the whole image is taken. (The released loader draws for ever.)"""


@dataclass(frozen=True)
class Window:
    """The part of an image that is seen, and whether it is mirrored.

    Attributes:
        top, left: the part's first row and column.
        height, width: its size in pixels.
        flipped: whether left and right change places.
    """

    top: int
    left: int
    height: int
    width: int
    flipped: bool = False

    @classmethod
    def whole(cls, image_size: tuple[int, int], flipped: bool = False) -> Self:
        """Return the window that shows all of an image of ``image_size`` (height, width)."""
        return cls(0, 0, *image_size, flipped)

    def contains(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the (N,) mask of the pixels that the window shows."""
        below, right = row - self.top, column - self.left
        return (below >= 0) & (below < self.height) & (right >= 0) & (right < self.width)

    def view(
        self,
        image: Image.Image,
        size: tuple[int, int],
        resample: Image.Resampling = Image.Resampling.BILINEAR,
        reduced: int = 1,
    ) -> NDArray[Any]:
        """Return the window of ``image`` at ``size`` (height, width).

        Args:
            image: the whole image.
            size: of the view.
            resample: how.
            reduced: pixels that one of ``image`` stands for in each direction; the window counts the full image's.
        """
        left, top = self.left / reduced, self.top / reduced
        box = (left, top, left + self.width / reduced, top + self.height / reduced)
        seen = np.asarray(image.resize(size[::-1], resample, box=box))
        return np.ascontiguousarray(seen[:, ::-1]) if self.flipped else seen

    def follow(
        self, row: NDArray[np.int64], column: NDArray[np.int64], size: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where pixels that the window contains lie in its view at ``size``: rows and columns, not rounded.

        A pixel's number stands for its centre, so row r of h becomes ``(r + 1/2) H / h - 1/2`` of H. Where the view is
        smaller than the window, the outermost centres fall up to half a pixel outside; they are moved to the edge.
        """
        height, width = size
        new_row = (row - self.top + 0.5) * (height / self.height) - 0.5
        new_column = (column - self.left + 0.5) * (width / self.width) - 0.5
        if self.flipped:
            new_column = width - 1 - new_column
        return (
            np.clip(new_row, 0, height - 1).astype(np.float32),
            np.clip(new_column, 0, width - 1).astype(np.float32),
        )


def draw_window(
    image_size: tuple[int, int],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    options: ImageCrop,
    rng: np.random.Generator,
) -> Window:
    """Draw a crop that keeps enough pairs.

    After ``options.tries`` crops that did not, the whole image is taken: it keeps every pair, whereas some images hold
    no good crop at all (few pairs, spread widely; an image far from the wanted ratio), and waiting for one would never
    end.

    Args:
        image_size: height and width of the image.
        row: (N,) rows of the pixels of its pairs.
        column: (N,) their columns.
        options: what is drawn, and what is enough.
        rng: draws the flip, then crops.
    """
    flipped = bool(rng.random() < options.flip)
    height, width = image_size
    for _ in range(options.tries):
        area = rng.uniform(*options.area) * height * width
        ratio = np.exp(rng.uniform(*np.log(options.ratio)))
        tall, wide = round(np.sqrt(area / ratio)), round(np.sqrt(area * ratio))
        if not (0 < tall <= height and 0 < wide <= width):
            continue
        top, left = (int(rng.integers(room + 1)) for room in (height - tall, width - wide))
        window = Window(top, left, tall, wide, flipped)
        kept = np.count_nonzero(window.contains(row, column))
        if kept > options.enough_pairs or kept >= options.enough_share * len(row):
            return window
    return Window.whole(image_size, flipped)
