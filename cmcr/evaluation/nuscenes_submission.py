"""Detections in nuScenes' official format: one JSON file for a split, boxes by the token of their sample, in the world.

    {"meta": {"use_lidar": true, ...},
     "results": {<sample token>: [{"sample_token", "translation", "size", "rotation", "velocity",
                                   "detection_name", "detection_score", "attribute_name"}, ...], ...}}

(nuscenes-devkit 1.2.0, nuscenes/eval/detection/README.md.) Every sample of the split is there, if only with no box, and
none has more than `MOST_BOXES`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes import lidar_pose
from cmcr.data.nuscenes_boxes import boxes_in_world
from cmcr.data.nuscenes_names import CLASS_NAMES, THING_CLASSES
from cmcr.data.scan_record import ScanRecord
from cmcr.errors import DataError
from cmcr.files import atomic_path

#: Boxes of a sample that are accepted: ``max_boxes_per_sample`` of the devkit's ``detection_cvpr_2019``.
MOST_BOXES: Final = 500
#: The ten classes, by their official names.
DETECTION_NAMES: Final = tuple(CLASS_NAMES[number] for number in THING_CLASSES)
#: What a detection takes as input: the sweep alone, whatever the backbone was pre-trained with.
META: Final = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}

#: Metres a second above which a thing moves, and the attributes of classes that move or stand; barriers and cones have
#: none. A detector that tells no attributes is usually given these: tianweiy/CenterPoint@0176a49,
#: det3d/datasets/nuscenes/nuscenes.py, ``evaluation``.
_MOVES_MPS = 0.2
_VEHICLE, _CYCLE = ("vehicle.moving", "vehicle.parked"), ("cycle.with_rider", "cycle.without_rider")
_ATTRIBUTES: Final = {
    **dict.fromkeys(("car", "construction_vehicle", "trailer", "truck"), _VEHICLE),
    "bus": ("vehicle.moving", "vehicle.stopped"),
    **dict.fromkeys(("bicycle", "motorcycle"), _CYCLE),
    "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
}


def write_nuscenes_submission(
    path: Path,
    index: ScanIndex,
    detections_by_token: Mapping[str, Detections],
    classes: Sequence[str] = CLASS_NAMES[1:],
) -> None:
    """Write what was found in the scans of a split, atomically.

    Args:
        path: the file, ``.json``.
        index: the split.
        detections_by_token: by the token of the scan (of its sweep, as everywhere in the suite), for every scan.
        classes: names of the class numbers from 1 on.

    Raises:
        DataError: a scan is missing, or has detections that cannot be submitted (see `submitted_boxes`).
    """
    missing = [record.token for record in index.records if record.token not in detections_by_token]
    if missing:
        raise DataError.at(
            path,
            expected=f"detections, if only none, for each of the {len(index)} scans of {index.split}",
            found=f"nothing about {len(missing)} of them, the first is {missing[0]}",
            fix="run the detector on the whole split",
        )
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        # Sample by sample, one a line: as one value, the boxes of a split could be gigabytes.
        file.write(f'{{"meta": {json.dumps(META)}, "results": {{')
        for place, record in enumerate(index.records):
            boxes = submitted_boxes(record, detections_by_token[record.token], classes)
            file.write(f"{',' if place else ''}\n{json.dumps(sample_token(record))}: {json.dumps(boxes)}")
        file.write("\n}}\n")


def submitted_boxes(record: ScanRecord, found: Detections, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the detections of a scan as a submission has them, the highest score first.

    Of more than `MOST_BOXES` those with the highest scores are kept. Things whose velocity is not told stand still.

    Args:
        record: of the scan.
        found: in its LiDAR frame.
        classes: names of the class numbers from 1 on.

    Raises:
        DataError: the scan has no sample, or a detection is of no class of the challenge, not finite, or has no extent.
    """
    scores = found.scores_N.double().cpu().numpy()
    boxes = found.as_boxes()
    _check(record, boxes.geometry, scores, boxes.velocity, boxes.classes, classes)
    best = np.argsort(-scores, kind="stable")[:MOST_BOXES]
    boxes, scores = boxes.select(best), scores[best]
    world = boxes_in_world(boxes, lidar_pose(record))
    velocity_N2 = np.zeros((len(boxes), 2)) if boxes.velocity is None else world.velocity_N2
    names = [classes[number - 1] for number in boxes.classes.tolist()]
    token = sample_token(record)
    return [
        {
            "sample_token": token,
            "translation": translation,
            "size": size,
            "rotation": rotation,
            "velocity": velocity,
            "detection_name": name,
            "detection_score": score,
            "attribute_name": attribute_of(name, float(np.hypot(*velocity))),
        }
        for translation, size, rotation, velocity, name, score in zip(
            world.translation_N3.tolist(),
            world.size_N3.tolist(),
            world.rotation_N4.tolist(),
            velocity_N2.tolist(),
            names,
            scores.tolist(),
            strict=True,
        )
    ]


def attribute_of(name: str, speed_mps: float) -> str:
    """Return the attribute of a thing of class ``name`` at this speed; empty for classes without."""
    moving, standing = _ATTRIBUTES.get(name, ("", ""))
    return moving if speed_mps > _MOVES_MPS else standing


def sample_token(record: ScanRecord) -> str:
    """Return the token that submissions name a keyframe by.

    Raises:
        DataError: the index does not know it.
    """
    if record.sample is None:
        raise DataError(
            f"scan {record.token}: its index does not say which sample of nuScenes it belongs to\n"
            "  way out:  make the index again, from a data set in nuScenes' format"
        )
    return record.sample


def _check(
    record: ScanRecord,
    geometry_N7: NDArray[np.float64],
    scores_N: NDArray[np.float64],
    velocity_N2: NDArray[np.float64] | None,
    classes_N: NDArray[np.int64],
    classes: Sequence[str],
) -> None:
    """Refuse what the official loader would refuse, or what it would score as something else than it is."""
    of_challenge = np.array([False, *(name in DETECTION_NAMES for name in classes)])
    known = (classes_N >= 1) & (classes_N <= len(classes))
    if not known.all() or not of_challenge[classes_N].all():
        wrong = classes_N[~known] if not known.all() else classes_N[~of_challenge[classes_N]]
        raise DataError(
            f"scan {record.token}\n"
            f"  expected: detections of the classes {', '.join(DETECTION_NAMES)}\n"
            f"  found:    class {wrong[0]} of {', '.join(f'{n} {name}' for n, name in enumerate(classes, 1))}"
        )
    numbers = [geometry_N7, scores_N[:, None], *([] if velocity_N2 is None else [velocity_N2])]
    bad = ~np.isfinite(np.column_stack(numbers)).all(axis=1) | (geometry_N7[:, 3:6] <= 0).any(axis=1)
    if bad.any():
        place = int(bad.argmax())
        speed = "" if velocity_N2 is None else f", velocity {velocity_N2[place].tolist()}"
        raise DataError(
            f"scan {record.token}\n"
            "  expected: detections of finite numbers and lengths above 0\n"
            f"  found:    {bad.sum()} of {len(bad)} others, the first is {geometry_N7[place].tolist()}, score"
            f" {scores_N[place]}{speed}\n"
            "  way out:  has the training diverged? a lower learning rate may help"
        )
