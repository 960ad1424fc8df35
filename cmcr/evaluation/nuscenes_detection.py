"""Detections on nuScenes: mAP, NDS and the errors of what was found, counted by nuscenes-devkit's own evaluator.

By the rules of its ``detection_cvpr_2019`` (arXiv:1903.11027, section 3.1; nuscenes/eval/detection/README.md), in
short: a detection is right if its centre is, seen from above, within 0.5, 1, 2 or 4 m of that of a thing of its class;
AP is the mean over the four. What is farther away than 30, 40 or 50 m, by class, does not count, nor do labelled boxes
without a return and cycles in a rack. The errors of place, size, heading, velocity and attribute are those of what was
found within 2 m.

The devkit reads labels from its tables, which take minutes to open for a large release; the index has them already, and
here it stands in for the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes import read_boxes
from cmcr.data.nuscenes_boxes import AnnotatedBoxes
from cmcr.data.nuscenes_names import ATTRIBUTES, CATEGORIES, CLASS_NAMES
from cmcr.data.scan_record import ScanRecord, pose_from_text
from cmcr.evaluation.nuscenes_submission import DETECTION_NAMES, sample_token, submitted_boxes
from cmcr.results.scores import Metric

if TYPE_CHECKING:
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionMetrics

#: The official rules, by their name in the devkit.
RULES: Final = "detection_cvpr_2019"
#: The devkit's names of the errors, with their usual names and units.
ERRORS: Final = {
    "trans_err": ("mate", "m"),
    "scale_err": ("mase", "share"),
    "orient_err": ("maoe", "rad"),
    "vel_err": ("mave", "m/s"),
    "attr_err": ("maae", "share"),
}

_RACK = "static_object.bicycle_rack"


class NuScenesDetectionScore:
    """The official numbers of a split, scan by scan."""

    words: ClassVar[str] = (
        "mAP is nuScenes' mean over ten classes and four distances of centres; NDS weighs it with five errors"
    )

    def __init__(self, index: ScanIndex, classes: Sequence[str] = CLASS_NAMES[1:]):
        """Begin with nothing counted.

        Args:
            index: the split; its labels are looked at when a scan's turn comes.
            classes: names of the class numbers from 1 on; those that are found must be of the challenge.
        """
        self.index, self.classes = index, tuple(classes)
        self._records = {record.token: record for record in index.records}
        self._labels: dict[str, AnnotatedBoxes] = {}
        self._found: dict[str, list[dict[str, Any]]] = {}

    def update(self, token: str, found: Detections) -> None:
        """Count what was found in one scan.

        Args:
            token: of the scan.
            found: in its LiDAR frame.

        Raises:
            DataError: the scan has no labelled boxes, or what was found cannot be submitted.
            ValueError: it was counted before.
        """
        if token in self._found:
            raise ValueError(f"scan {token} is counted twice")
        record = self._records[token]
        self._labels[token] = read_boxes(record, self.index.root)
        self._found[token] = submitted_boxes(record, found, self.classes)

    def metrics(self) -> list[Metric]:
        """Return the official numbers, the one that ranks first.

        ``map`` and ``nds`` in percent; the errors ``mate`` (metres), ``mase`` (1 - IoU of the sizes), ``maoe``
        (radians), ``mave`` (metres a second) and ``maae`` (1 - accuracy), the lower the better; ``ap`` of each class in
        percent. A class that does not count in the labels of the split has no AP of its own, but the means are the
        official ones over all ten classes: in them it has AP 0 and errors 1.

        Raises:
            ValueError: a scan of the split was not counted.
        """
        missing = [token for token in self._records if token not in self._found]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(self._records)} scans of {self.index.split} were not counted, the first is"
                f" {missing[0]}; the official numbers are those of a whole split"
            )
        records = self.index.records
        labels = labelled_boxes((record, self._labels[record.token]) for record in records)
        found = _boxes({sample_token(record): self._found[record.token] for record in records})
        official = official_metrics(labels, found, _Tables(records, self._labels))
        present = {box.detection_name for box in labels.all}
        nothing = None if present else "no labelled box counts in the whole split"
        absent = "no labelled box of this class counts in the whole split; the official mean takes 0"
        by_class = official.mean_dist_aps
        return [
            _metric("map", 100 * official.mean_ap, reason=nothing),
            _metric("nds", 100 * official.nd_score, reason=nothing),
            *(
                _metric(name, official.tp_errors[error], unit=unit, higher_is_better=False, reason=nothing)
                for error, (name, unit) in ERRORS.items()
            ),
            *(
                _metric("ap", 100 * float(by_class[name]), class_name=name, reason=None if name in present else absent)
                for name in DETECTION_NAMES
            ),
        ]


def labelled_boxes(keyframes: Iterable[tuple[ScanRecord, AnnotatedBoxes]]) -> EvalBoxes:
    """Return things of the ten classes, not yet filtered, as the devkit's ``load_gt`` loads them from its tables."""
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox

    labels = EvalBoxes()
    for record, annotated in keyframes:
        token, points = sample_token(record), annotated.num_points.tolist()
        names = [CATEGORIES[category][1] for category in annotated.category.tolist()]
        rows = zip(*(values.tolist() for values in annotated.world), strict=True)
        labels.add_boxes(
            token,
            [
                DetectionBox(
                    sample_token=token,
                    translation=translation,
                    size=size,
                    rotation=rotation,
                    velocity=velocity,
                    num_pts=count,
                    detection_name=name,
                    detection_score=-1.0,
                    attribute_name=ATTRIBUTES[attribute - 1] if attribute else "",
                )
                for name, attribute, count, (translation, size, rotation, velocity) in zip(
                    names, annotated.attribute.tolist(), points, rows, strict=True
                )
                if name in DETECTION_NAMES
            ],
        )
    return labels


def official_metrics(labels: EvalBoxes, found: EvalBoxes, tables: Any) -> DetectionMetrics:
    """Filter and score boxes with the devkit, as its ``DetectionEval`` does once it has loaded them.

    Args:
        labels: true boxes; those that do not count are taken out.
        found: detections of the same samples, likewise.
        tables: the devkit's ``NuScenes``, or what answers like it.
    """
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes
    from nuscenes.eval.detection.evaluate import DetectionEval

    evaluator = DetectionEval.__new__(DetectionEval)  # what it does at the start is to load boxes from files
    evaluator.cfg, evaluator.verbose = config_factory(RULES), False
    evaluator.gt_boxes, evaluator.pred_boxes = labels, found
    for boxes in (labels, found):
        if boxes.all:  # the devkit's filter stops at a split without any
            filter_eval_boxes(tables, add_center_dist(tables, boxes), evaluator.cfg.class_range)
    metrics, _ = evaluator.evaluate()
    return metrics


def _boxes(results: Mapping[str, list[dict[str, Any]]]) -> EvalBoxes:
    """Return the results of a submission as the devkit's ``load_prediction`` loads them."""
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox

    return EvalBoxes.deserialize(results, DetectionBox)


class _Tables:
    """Answers what the devkit's filter asks the tables: where the vehicle was, and where bicycle racks are."""

    def __init__(self, records: Sequence[ScanRecord], labels: Mapping[str, AnnotatedBoxes]):
        self._rows: dict[str, dict[str, dict[str, Any]]] = {
            table: {} for table in ("sample", "sample_data", "ego_pose", "sample_annotation")
        }
        rack = [name for name, _ in CATEGORIES].index(_RACK)
        for record in records:
            annotated, key = labels[record.token], record.token
            racks = {f"{key}/{place}": place for place in np.flatnonzero(annotated.category == rack).tolist()}
            self._rows["sample"][sample_token(record)] = {"data": {"LIDAR_TOP": key}, "anns": list(racks)}
            self._rows["sample_data"][key] = {"ego_pose_token": key}
            # The last of the two poses, to the vehicle and from it to the world, has the vehicle's place.
            self._rows["ego_pose"][key] = {"translation": pose_from_text(record.world_from_lidar[-1])[:3, 3].tolist()}
            for name, place in racks.items():
                self._rows["sample_annotation"][name] = {
                    "category_name": _RACK,
                    "translation": annotated.world.translation_N3[place].tolist(),
                    "size": annotated.world.size_N3[place].tolist(),
                    "rotation": annotated.world.rotation_N4[place].tolist(),
                }

    def get(self, table: str, token: str) -> dict[str, Any]:
        """Return the record of a table, as the devkit's ``NuScenes.get``."""
        return self._rows[table][token]


def _metric(
    name: str,
    value: float,
    *,
    class_name: str = "all",
    unit: Any = "percent",
    higher_is_better: bool = True,
    reason: str | None,
) -> Metric:
    return Metric(
        metric=name,
        class_name=class_name,
        value=None if reason else value,
        higher_is_better=higher_is_better,
        unit=unit,
        reason=reason,
    )
