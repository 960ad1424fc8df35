"""nuScenes' boxes: what the tables say of a keyframe, and the way between the world, which they are in, and the LiDAR.

All boxes of a release are in one table, ``sample_annotation.json``, far too large to be opened by every job. So an
index holds those of each keyframe as words.

Frames: annotations and submissions are in the world; their boxes stand upright there, while the LiDAR is tilted by a
degree or so. `Boxes3D` are upright in the LiDAR frame. So a heading, and likewise a velocity, is turned into the other
frame as a vector that is level in the world, of which the LiDAR frame's x and y are kept; since the third number
follows from these two, nothing is lost on the way there and back. (OpenPCDet and CenterPoint keep the rise of a
velocity on the way there and make it zero on the way back; on a slope the two differ by the rise times the sine of the
tilt.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.nuscenes_names import ATTRIBUTES, CATEGORIES, CLASS_OF_CATEGORY
from cmcr.errors import DataError

if TYPE_CHECKING:
    from nuscenes import NuScenes

#: The table that all boxes of a release are in.
BOX_TABLE = "sample_annotation.json"

_NUMBER_OF_CATEGORY = {name: number for number, (name, _) in enumerate(CATEGORIES)}
#: Words of a box: category, attribute, LiDAR and radar returns, and then the numbers of `WorldBoxes`.
_COUNTS, _WORDS = 4, 16
#: What an int32 holds; a sweep has some ten thousands.
_MOST_RETURNS = 2**31 - 1
#: Decimals of a number; finer digits would make an index larger and nothing better.
_DECIMALS = 10


class WorldBoxes(NamedTuple):
    """N boxes as nuScenes writes them, in the world.

    Attributes:
        translation_N3: (N, 3) metres, the centres.
        size_N3: (N, 3) metres, width, length, height.
        rotation_N4: (N, 4) quaternions w, x, y, z from the box's frame, x along its heading, to the world.
        velocity_N2: (N, 2) metres a second along x and y; NaN where it is not known.
    """

    translation_N3: NDArray[np.float64]
    size_N3: NDArray[np.float64]
    rotation_N4: NDArray[np.float64]
    velocity_N2: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AnnotatedBoxes:
    """N things of a keyframe, in the order of the table.

    Attributes:
        category: (N,) int64 place in `CATEGORIES`.
        attribute: (N,) int64 place in `ATTRIBUTES`, counted from 1; 0 for none.
        lidar_points, radar_points: (N,) int64 returns that the annotation counts inside the box.
        world: the boxes; velocities are those of the devkit's ``NuScenes.box_velocity``: between the keyframes before
            and after, or one of these and the thing's own, NaN for a thing seen once or with more than 1.5 s between.
    """

    category: NDArray[np.int64]
    attribute: NDArray[np.int64]
    lidar_points: NDArray[np.int64]
    radar_points: NDArray[np.int64]
    world: WorldBoxes

    def __len__(self) -> int:
        return len(self.category)

    @property
    def classes(self) -> NDArray[np.int64]:
        """(N,) training class, one of the ten of the detection challenge or 0."""
        return CLASS_OF_CATEGORY[self.category].astype(np.int64)

    @property
    def num_points(self) -> NDArray[np.int64]:
        """(N,) returns of all sensors; the official evaluation leaves out boxes that have none."""
        return self.lidar_points + self.radar_points

    def to_text(self) -> str:
        """Write the boxes as numbers between blanks."""
        counts_N4 = np.column_stack([self.category, self.attribute, self.lidar_points, self.radar_points])
        numbers_NW = np.column_stack(self.world)
        return " ".join(
            word
            for counts, numbers in zip(counts_N4.tolist(), numbers_NW.tolist(), strict=True)
            for word in (*map(str, counts), *(repr(round(number, _DECIMALS)).removesuffix(".0") for number in numbers))
        )

    @classmethod
    def from_text(cls, text: str) -> AnnotatedBoxes:
        """Undo `to_text`."""
        numbers_NW = np.array(text.split(), dtype=np.float64).reshape(-1, _WORDS)
        category, attribute, lidar_points, radar_points = numbers_NW[:, :_COUNTS].astype(np.int64).T
        world = WorldBoxes(*np.split(numbers_NW[:, _COUNTS:], [3, 6, 10], axis=1))
        return cls(category, attribute, lidar_points, radar_points, world)


def annotated_boxes(nusc: NuScenes, tables: Path, sample: dict[str, Any]) -> AnnotatedBoxes:
    """Collect what the tables say of the things of a keyframe.

    Args:
        nusc: the open tables.
        tables: their folder, for messages.
        sample: the keyframe's record.

    Raises:
        DataError: a category or attribute that nuScenes does not have, two attributes of one thing, numbers that are
            missing or not finite, a box without extent, or keyframes of a thing that follow each other in no time.
        KeyError: a token points nowhere; `cmcr.data.nuscenes_tables.missing_key` explains it.
    """
    things = [nusc.get("sample_annotation", token) for token in sample["anns"]]
    path = tables / BOX_TABLE
    for thing in things:
        if thing["category_name"] not in _NUMBER_OF_CATEGORY:
            raise DataError.at(
                tables / "category.json",
                expected=f"the {len(CATEGORIES)} categories of nuScenes",
                found=f"{thing['category_name']}, of annotation {thing['token']}",
            )
        if len(thing["attribute_tokens"]) > 1:
            raise _bad(path, thing, "one attribute at most", f"{len(thing['attribute_tokens'])}")
    names = [nusc.get("attribute", token)["name"] for thing in things for token in thing["attribute_tokens"][:1]]
    if strange := sorted(set(names) - set(ATTRIBUTES)):
        raise DataError.at(tables / "attribute.json", expected=f"some of {', '.join(ATTRIBUTES)}", found=strange[0])
    given = iter(names)
    return AnnotatedBoxes(
        category=np.array([_NUMBER_OF_CATEGORY[thing["category_name"]] for thing in things], dtype=np.int64),
        attribute=np.array(
            [ATTRIBUTES.index(next(given)) + 1 if thing["attribute_tokens"] else 0 for thing in things], dtype=np.int64
        ),
        lidar_points=_counts(path, things, "num_lidar_pts"),
        radar_points=_counts(path, things, "num_radar_pts"),
        world=WorldBoxes(
            _numbers(path, things, "translation", 3),
            _numbers(path, things, "size", 3),
            _numbers(path, things, "rotation", 4),
            _velocities(nusc, path, things),
        ),
    )


def boxes_in_lidar(annotated: AnnotatedBoxes, world_from_lidar: NDArray[np.float64]) -> Boxes3D:
    """Return annotated boxes, all of them, in the LiDAR frame.

    Args:
        annotated: the boxes.
        world_from_lidar: (4, 4) pose of the sweep.
    """
    world, rotation = annotated.world, world_from_lidar[:3, :3]
    centre = (world.translation_N3 - world_from_lidar[:3, 3]) @ rotation
    heading = _headings(world.rotation_N4) @ rotation
    width, length, height = world.size_N3.T
    yaw = np.arctan2(heading[:, 1], heading[:, 0])
    velocity = world.velocity_N2 @ rotation[:2, :2]
    geometry = np.column_stack([centre, length, width, height, yaw])
    return Boxes3D(geometry, annotated.classes, velocity, annotated.num_points)


def boxes_in_world(boxes: Boxes3D, world_from_lidar: NDArray[np.float64]) -> WorldBoxes:
    """Return boxes of the LiDAR frame as nuScenes wants them, upright in the world; unknown velocities are NaN.

    Args:
        boxes: the boxes.
        world_from_lidar: (4, 4) pose of the sweep.
    """
    geometry = boxes.geometry
    heading = _levelled(np.column_stack([np.cos(geometry[:, 6]), np.sin(geometry[:, 6])]), world_from_lidar)
    half = np.arctan2(heading[:, 1], heading[:, 0]) / 2
    nought = np.zeros_like(half)
    velocity = np.full((len(boxes), 2), np.nan) if boxes.velocity is None else boxes.velocity
    return WorldBoxes(
        geometry[:, :3] @ world_from_lidar[:3, :3].T + world_from_lidar[:3, 3],
        geometry[:, [4, 3, 5]],
        np.column_stack([np.cos(half), nought, nought, np.sin(half)]),
        _levelled(velocity, world_from_lidar),
    )


def _headings(rotation_N4: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 3) what the quaternions make of the x axis, times a positive factor."""
    w, x, y, z = rotation_N4.T
    return np.column_stack([w**2 + x**2 - y**2 - z**2, 2 * (x * y + w * z), 2 * (x * z - w * y)])


def _levelled(vector_N2: NDArray[np.float64], world_from_lidar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 2) the world's x and y of vectors that are level there and have these x and y in the LiDAR frame."""
    x, y = vector_N2.T
    across, along, up = world_from_lidar[2, :3]
    return np.column_stack([x, y, -(across * x + along * y) / up]) @ world_from_lidar[:2, :3].T


def _numbers(path: Path, things: list[dict[str, Any]], field: str, width: int) -> NDArray[np.float64]:
    def read(some: list[dict[str, Any]]) -> NDArray[np.float64] | None:
        try:
            values = np.array([thing[field] for thing in some], dtype=np.float64).reshape(len(some), -1)
        except (TypeError, ValueError, OverflowError):
            return None
        right = values.shape[1:] == (width,) and np.isfinite(values).all()
        empty = field == "size" and (values <= 0).any()
        return values if right and not empty and (field != "rotation" or values.any(axis=1).all()) else None

    if not things:
        return np.empty((0, width))
    values = read(things)
    if values is None:
        wrong = next((thing for thing in things if read([thing]) is None), things[0])
        kind = {"size": "lengths above 0", "rotation": "numbers of a quaternion"}.get(field, "finite numbers")
        raise _bad(path, wrong, f"{width} {kind} as {field}", f"{wrong[field]}")
    return values


def _counts(path: Path, things: list[dict[str, Any]], field: str) -> NDArray[np.int64]:
    for thing in things:
        if type(thing[field]) is not int or not 0 <= thing[field] <= _MOST_RETURNS:  # true and false are integers, too
            raise _bad(path, thing, f"a number of returns as {field}", f"{thing[field]!r}")
    return np.array([thing[field] for thing in things], dtype=np.int64)


def _velocities(nusc: NuScenes, path: Path, things: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Return (N, 2) velocities as the devkit takes them from the keyframes before and after."""

    def velocity_of(thing: dict[str, Any]) -> NDArray[np.float64]:
        try:
            return nusc.box_velocity(thing["token"])[:2]
        except (
            TypeError,
            ValueError,
            OverflowError,
        ) as error:  # a neighbour that nobody has looked at, in a keyframe of its own
            raise _bad(path, thing, "neighbours of the thing with 3 numbers as translation", f"{error}") from None

    with np.errstate(divide="ignore", invalid="ignore"):
        found = [velocity_of(thing) for thing in things]
    velocity = np.array(found, dtype=np.float64).reshape(-1, 2)
    wrong = np.isinf(velocity).any(axis=1)
    if wrong.any():
        thing = things[int(wrong.argmax())]
        raise _bad(path, thing, "neighbours of the thing in keyframes of other times", "no time between them")
    return velocity


def _bad(path: Path, thing: dict[str, Any], expected: str, found: str) -> DataError:
    return DataError.at(path, expected=f"{expected}, in record {thing['token']}", found=found)
