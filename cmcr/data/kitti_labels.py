"""KITTI's label files: one object a line, in the frame of the rectified camera 0 (Geiger et al., CVPR 2012).

A line holds type, truncation, occlusion, alpha, 2D box (left, top, right, bottom), height, width, length, location
(x, y, z of the middle of the bottom) and rotation_y; a line of results, and only that, ends with a score. Camera frame:
x right, y down, z forward, metres. rotation_y turns about y: 0 heads along x, -pi/2 along z. alpha is rotation_y seen
relative to the ray to the object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcr.errors import DataError
from cmcr.files import write_text
from cmcr.reading import read_text, reason_of

#: Image regions whose objects are not labelled; they have a 2D box and nothing else.
DONT_CARE = "DontCare"
#: All types of objects, from the development kit's readme.
TYPES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", DONT_CARE)

_FIELDS = 15
OCCLUSIONS = (-1, 0, 1, 2, 3)
#: No number of a line comes near this; with larger ones, corners of boxes would be infinite.
LARGEST = 1e6


@dataclass(frozen=True, eq=False)
class KittiObjects:
    """N objects of one frame as a label file has them.

    Attributes:
        name: (N,) their types, of `TYPES`.
        truncation: (N,) share of the object outside the image, 0 to 1; -1 where it is not known.
        occlusion: (N,) int64 0 fully visible, 1 partly, 2 largely occluded, 3 unknown; -1 where there is none.
        alpha: (N,) observation angle in radians.
        image_box: (N, 4) left, top, right, bottom in pixels.
        size: (N, 3) height, width, length in metres.
        location: (N, 3) middle of the bottom in the frame of the rectified camera 0.
        rotation_y: (N,) radians.
        score: (N,) of results; None for labels.
    """

    name: NDArray[np.str_]
    truncation: NDArray[np.float64]
    occlusion: NDArray[np.int64]
    alpha: NDArray[np.float64]
    image_box: NDArray[np.float64]
    size: NDArray[np.float64]
    location: NDArray[np.float64]
    rotation_y: NDArray[np.float64]
    score: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.name)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> KittiObjects:
        """Return the objects at ``chosen``, a mask (N,) or row numbers."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: v[chosen] for name, v in values.items() if v is not None})


def join(parts: Sequence[KittiObjects]) -> KittiObjects:
    """Put labels of one frame together, in order."""

    def joined(name: str, *shape: int, kind: type = np.float64) -> NDArray:
        return np.concatenate([np.empty((0, *shape), dtype=kind), *(getattr(part, name) for part in parts)])

    return KittiObjects(
        name=joined("name", kind=np.str_),
        truncation=joined("truncation"),
        occlusion=joined("occlusion", kind=np.int64),
        alpha=joined("alpha"),
        image_box=joined("image_box", 4),
        size=joined("size", 3),
        location=joined("location", 3),
        rotation_y=joined("rotation_y"),
    )


def read_objects(path: Path, *, scored: bool = False) -> KittiObjects:
    """Read a label file, or with ``scored`` one of results.

    Raises:
        DataError: the file is missing, or a line has another number of fields, an unknown type, something else than
            finite numbers, or a box without extent.
    """
    fields = _FIELDS + scored
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        found = reason_of(error)
        raise DataError.at(path, expected="objects, one a line", found=found, fix="fetch the file again") from None
    rows = [_parse(f"{path}, line {number}", line, fields) for number, line in enumerate(lines, 1) if line.strip()]
    names = np.array([name for name, _ in rows], dtype=np.str_)
    values = np.array([numbers for _, numbers in rows], dtype=np.float64).reshape(len(rows), fields - 1)
    return KittiObjects(
        name=names,
        truncation=values[:, 0],
        occlusion=values[:, 1].astype(np.int64),
        alpha=values[:, 2],
        image_box=values[:, 3:7],
        size=values[:, 7:10],
        location=values[:, 10:13],
        rotation_y=values[:, 13],
        score=values[:, 14] if scored else None,
    )


def _parse(place: str, line: str, fields: int) -> tuple[str, list[float]]:
    """Return type and numbers of one line."""
    name, *words = line.split()
    if len(words) != fields - 1:
        what = "a label" if fields == _FIELDS else "a result, its score the last"
        raise DataError.at(
            place,
            expected=f"the {fields} fields of {what}",
            found=f"{len(words) + 1} fields",
            fix="labels have no score, results have one; is this the right folder?",
        )
    if name not in TYPES:
        raise DataError.at(place, expected=f"one of the types {', '.join(TYPES)}", found=name)
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise DataError.at(place, expected=f"{fields - 1} numbers after the type", found=str(error)) from None
    if not np.isfinite(numbers).all() or max(map(abs, numbers)) > LARGEST:
        raise DataError.at(place, expected=f"finite numbers of at most {LARGEST:g}", found=line.strip())
    if numbers[1] not in OCCLUSIONS:
        raise DataError.at(place, expected="occlusion 0, 1, 2 or 3, or -1 for none", found=words[1])
    if name != DONT_CARE and min(numbers[7:10]) <= 0:
        raise DataError.at(
            place,
            expected="a box with height, width and length above 0",
            found=f"{numbers[7]:g} x {numbers[8]:g} x {numbers[9]:g} m",
            fix=f"only {DONT_CARE} has no box",
        )
    return name, numbers


def write_objects(path: Path, objects: KittiObjects) -> None:
    """Write a label file, or, where the objects have scores, one of results, atomically; with KITTI's two decimals.

    Scores keep their digits: rounding would tie detections whose order counts.
    """
    write_text(path, "".join(f"{line}\n" for line in _lines(objects)))


def _lines(objects: KittiObjects) -> Sequence[str]:
    numbers = np.column_stack(
        [objects.alpha, objects.image_box, objects.size, objects.location, objects.rotation_y]
    ).tolist()
    scores = [""] * len(objects) if objects.score is None else [f" {score!r}" for score in objects.score.tolist()]
    return [
        f"{name} {truncation:.2f} {occlusion} {' '.join(f'{number:.2f}' for number in row)}{score}"
        for name, truncation, occlusion, row, score in zip(
            objects.name.tolist(),
            objects.truncation.tolist(),
            objects.occlusion.tolist(),
            numbers,
            scores,
            strict=True,
        )
    ]
