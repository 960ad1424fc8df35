"""KITTI's average precision: image, bird's-eye and 3D boxes and orientation, at easy, moderate and hard.

Equal to the development kit (Geiger et al., CVPR 2012), whose rules, in short: an object is *counted* at a difficulty
if its 2D box is tall enough and it is little enough occluded and truncated, *ignored* (finding it is neither right nor
wrong) if it is not or if it is of a class much alike, and otherwise left out. Objects choose detections, in the order
of their file. Precision is read at the scores where the recall passes 1/40, 2/40, ... (arXiv:1905.12365); the older
rule with 11 points reads it at 0, 0.1, ..., 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cmcr.boxes.overlap import bev_iou, iou_3d
from cmcr.data.kitti_labels import DONT_CARE, KittiObjects

#: Least intersection over union of a match: the benchmark's.
MIN_OVERLAP: Final = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5, "Van": 0.7, "Person_sitting": 0.5, "Truck": 0.7}
#: Classes that may be taken for another without being counted wrong.
ALIKE: Final = {"Car": "Van", "Pedestrian": "Person_sitting"}
#: What is compared: 2D boxes; boxes from above; boxes in space; 2D boxes with the cosine of the error of alpha.
MEASURES: Final = ("image", "bev", "3d", "aos")


class Difficulty(NamedTuple):
    """Which objects count."""

    min_height_px: float
    max_occlusion: int
    max_truncation: float


DIFFICULTIES: Final = {
    "easy": Difficulty(40, 0, 0.15),
    "moderate": Difficulty(25, 1, 0.30),
    "hard": Difficulty(25, 2, 0.50),
}

_STEPS = 40


class AveragePrecision(NamedTuple):
    """One number of the table.

    Attributes:
        class_name: the class.
        measure: of `MEASURES`.
        difficulty: of `DIFFICULTIES`.
        at_40, at_11: percent, with 40 and with 11 recall points; NaN where no object counts.
    """

    class_name: str
    measure: str
    difficulty: str
    at_40: float
    at_11: float


def average_precisions(
    labels: Sequence[KittiObjects],
    results: Sequence[KittiObjects],
    class_names: Sequence[str] = ("Car", "Pedestrian", "Cyclist"),
) -> list[AveragePrecision]:
    """Score the detections of all frames.

    Args:
        labels: objects of each frame, DontCare among them.
        results: detections of the same frames, in the same order, with scores.
        class_names: which classes, of `MIN_OVERLAP`.

    Returns:
        One entry for each class, measure and difficulty, in this order.

    Raises:
        ValueError: the numbers of frames differ, a frame of results has no scores, or a class is unknown.
    """
    if len(labels) != len(results):
        raise ValueError(f"expected results for {len(labels)} frames, found {len(results)}")
    if any(frame.score is None for frame in results):
        raise ValueError("expected a score with every result, found a frame without scores")
    if unknown := set(class_names) - MIN_OVERLAP.keys():
        raise ValueError(f"no minimum overlap is known for {', '.join(sorted(unknown))}")
    overlaps = [_overlaps(label, result) for label, result in zip(labels, results, strict=True)]
    table = []
    for class_name in class_names:
        for measure in MEASURES:
            for name, difficulty in DIFFICULTIES.items():
                frames = [
                    _Frame.of(label, result, overlap[measure], class_name, difficulty, measure in ("image", "aos"))
                    for label, result, overlap in zip(labels, results, overlaps, strict=True)
                ]
                precision = _precisions(frames, MIN_OVERLAP[class_name], measure == "aos")
                at_40, at_11 = precision[1:].mean(), precision[:: _STEPS // 10].mean()
                table.append(AveragePrecision(class_name, measure, name, 100 * float(at_40), 100 * float(at_11)))
    return table


def _overlaps(label: KittiObjects, result: KittiObjects) -> dict[str, NDArray[np.float64]]:
    """Return (D, G) intersections over union of D detections and G objects for each measure."""
    detected, true = (torch.from_numpy(_upright(objects)) for objects in (result, label))
    image = _image_iou(result.image_box, label.image_box)
    return {
        "image": image,
        "aos": image,
        "bev": bev_iou(detected, true).numpy(),
        "3d": iou_3d(detected, true).numpy(),
    }


def _upright(objects: KittiObjects) -> NDArray[np.float64]:
    """Return (N, 7) boxes as `cmcr.boxes.overlap` has them, in the plane of the camera's x and z, upwards -y."""
    height, width, length = objects.size.T
    x, y, z = objects.location.T
    return np.column_stack([x, z, height / 2 - y, length, width, height, -objects.rotation_y])


def _image_iou(a_N4: NDArray[np.float64], b_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (N, M) intersection over union of 2D boxes."""
    shared = _image_intersection(a_N4, b_M4)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a_N4, b_M4))
    union = area_a[:, None] + area_b - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def _image_intersection(a_N4: NDArray[np.float64], b_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.minimum(a_N4[:, None, 2:], b_M4[:, 2:]) - np.maximum(a_N4[:, None, :2], b_M4[:, :2])
    return np.clip(size, 0, None).prod(-1)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What one frame has to say about one class at one difficulty: G objects and D detections that take part.

    Attributes:
        overlap: (D, G).
        score: (D,).
        aside: (D,) bool detections too small to be counted wrong.
        in_region: (D,) share of each detection's 2D box inside the DontCare region that it overlaps most.
        ignored: (G,) bool.
        turn: (D, G) error of alpha in radians.
    """

    overlap: NDArray[np.float64]
    score: NDArray[np.float64]
    aside: NDArray[np.bool_]
    in_region: NDArray[np.float64]
    ignored: NDArray[np.bool_]
    turn: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        label: KittiObjects,
        result: KittiObjects,
        overlap_DG: NDArray[np.float64],
        class_name: str,
        difficulty: Difficulty,
        regions_count: bool,
    ) -> _Frame:
        mine = label.name == class_name
        height = label.image_box[:, 3] - label.image_box[:, 1]
        beyond = (
            (height <= difficulty.min_height_px)
            | (label.occlusion > difficulty.max_occlusion)
            | (label.truncation > difficulty.max_truncation)
        )
        alike = label.name == ALIKE.get(class_name, "")
        chosen = mine | alike
        # The kit sets small detections of *any* class aside, so that they may be matched and then count nowhere.
        small = np.abs(result.image_box[:, 3] - result.image_box[:, 1]) < difficulty.min_height_px
        taking_part = small | (result.name == class_name)
        boxes = result.image_box[taking_part]
        in_region = np.zeros(len(boxes))
        regions = label.image_box[label.name == DONT_CARE]
        if regions_count and len(regions) and len(boxes):
            area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
            covered = _image_intersection(boxes, regions).max(axis=1)
            in_region = np.divide(covered, area, out=np.zeros_like(area), where=covered > 0)
        assert result.score is not None
        return cls(
            overlap=overlap_DG[np.ix_(taking_part, chosen)],
            score=result.score[taking_part],
            aside=small[taking_part],
            in_region=in_region,
            ignored=(alike | beyond)[chosen],
            turn=label.alpha[chosen] - result.alpha[taking_part, None],
        )


def _precisions(frames: Sequence[_Frame], min_overlap: float, by_angle: bool) -> NDArray[np.float64]:
    """Return (41,) precision at recalls 0, 1/40, ..., 1, each the best from there on; NaN without objects."""
    counted = sum(int(np.count_nonzero(~frame.ignored)) for frame in frames)
    if counted == 0:
        return np.full(_STEPS + 1, np.nan)
    thresholds = _thresholds(np.concatenate([_found_scores(frame, min_overlap) for frame in frames]), counted)
    right, wrong, alike = np.zeros((3, len(thresholds)))
    for frame in frames:
        if len(frame.score):
            right_T, wrong_T, alike_T = _count(frame, thresholds, min_overlap)
            right, wrong, alike = right + right_T, wrong + wrong_T, alike + alike_T
    precision = np.zeros(_STEPS + 1)
    value = alike if by_angle else right
    precision[: len(thresholds)] = np.divide(value, right + wrong, out=np.zeros_like(value), where=right + wrong > 0)
    return np.maximum.accumulate(precision[::-1])[::-1]


def _found_scores(frame: _Frame, min_overlap: float) -> NDArray[np.float64]:
    """Return the scores at which counted objects are found, each by the free detection of the highest score."""
    free = np.ones(len(frame.score), dtype=bool)
    scores = []
    for overlap_D, ignored in zip(frame.overlap.T, frame.ignored.tolist(), strict=True):
        candidates = np.flatnonzero(free & (overlap_D > min_overlap))
        if len(candidates):
            best = candidates[frame.score[candidates].argmax()]
            free[best] = False
            if not ignored and not frame.aside[best]:
                scores.append(frame.score[best])
    return np.array(scores)


def _thresholds(scores: NDArray[np.float64], counted: int) -> NDArray[np.float64]:
    """Return the scores, falling, at which the recall comes nearest to 0, 1/40, 2/40, ...; at most 41."""
    scores = np.sort(scores)[::-1]
    wanted, chosen = 0.0, []
    for rank, score in enumerate(scores.tolist(), 1):
        is_last = rank == len(scores)
        recall, next_recall = rank / counted, (rank + 1) / counted
        if is_last or next_recall - wanted >= wanted - recall:
            chosen.append(score)
            wanted += 1 / _STEPS
    return np.array(chosen)


def _count(frame: _Frame, thresholds_T: NDArray[np.float64], min_overlap: float) -> NDArray[np.float64]:
    """Return (3, T) detections that are right, that are wrong, and the summed likeness of the angles of those right.

    Row t of all masks is about the detections with at least the score t. Each object takes the free detection that
    overlaps it most. Those set aside are as good as not there: an object takes one only where no other overlaps it, and
    is then neither found nor, as far as precision goes, missed.
    """
    free_TD = (frame.score >= thresholds_T[:, None]) & ~frame.aside
    right, alike = np.zeros((2, len(thresholds_T)))
    for number in np.flatnonzero((frame.overlap > min_overlap).any(axis=0)).tolist():
        overlap_D = frame.overlap[:, number]
        candidate_TD = free_TD & (overlap_D > min_overlap)
        found_T = candidate_TD.any(axis=1)
        best_T = np.where(candidate_TD, overlap_D, -1).argmax(axis=1)
        free_TD[found_T, best_T[found_T]] = False
        if not frame.ignored[number]:
            right += found_T
            alike += found_T * (1 + np.cos(frame.turn[best_T, number])) / 2
    wrong = np.count_nonzero(free_TD & ~(frame.in_region > min_overlap), axis=1)
    return np.stack([right, wrong, alike])
