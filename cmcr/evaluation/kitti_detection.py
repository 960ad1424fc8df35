"""Detections on KITTI's object benchmark, scan by scan: as the lines of its files, and scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.kitti import camera_of, read_labels, rectified_from_lidar
from cmcr.data.kitti_camera import objects_in_image
from cmcr.data.kitti_labels import KittiObjects
from cmcr.data.scan_record import ScanRecord
from cmcr.evaluation.kitti_ap import DIFFICULTIES, MEASURES, average_precisions
from cmcr.results.scores import Metric

#: What the benchmark's tables are ranked by: boxes in space, at the moderate difficulty.
HEADLINE: Final = ("3d", "moderate")


def detected_objects(index: ScanIndex, record: ScanRecord, found: Detections) -> KittiObjects:
    """Return detections in a frame as the benchmark wants them; boxes that its camera does not see are left out."""
    scores = found.scores_N.double().cpu().numpy()
    return objects_in_image(
        found.as_boxes(), rectified_from_lidar(record), camera_of(record, index.root), index.class_names, scores
    )


class KittiDetectionScore:
    """Average precision at 40 and at 11 recall points, in the image, from above and in space, at every difficulty."""

    words: ClassVar[str] = "mAP is the mean over classes of KITTI's AP of boxes in space, moderate, 40 recall points"

    def __init__(self, index: ScanIndex, classes: Sequence[str]):
        """Begin to count.

        Args:
            index: the split; labels are read when a scan's turn comes.
            classes: names of the classes that are scored.
        """
        self.index, self.classes = index, tuple(classes)
        self.records = {record.token: record for record in index.records}
        self.labels: list[KittiObjects] = []
        self.results: list[KittiObjects] = []

    def update(self, token: str, found: Detections) -> None:
        """Count one scan.

        Raises:
            DataError: its labels are missing or damaged.
        """
        record = self.records[token]
        self.labels.append(read_labels(record, self.index.root))
        self.results.append(detected_objects(self.index, record, found))

    def metrics(self) -> list[Metric]:
        """Return everything in percent, the number that ranks first.

        ``map`` is the mean over classes of the AP in space at the moderate difficulty, and ``ap`` that AP of each
        class, which also has a name of its own (``ap_car``), because published tables have it. Then each measure at
        each difficulty (``ap_3d_easy``, ..., ``aos_hard``), of each class and the mean, over the 40 recall points of
        today's benchmark; and the same over the 11 points of works until 2019 (``ap_3d_easy_at_11``, ...). A class
        without an object that counts has no number and no part in a mean.
        """
        table = average_precisions(self.labels, self.results, self.classes)
        means = [(measure, difficulty) for measure in MEASURES for difficulty in DIFFICULTIES]
        headline = [entry for entry in table if (entry.measure, entry.difficulty) == HEADLINE]
        of_class = {entry.class_name: entry.at_40 for entry in headline}
        rows = [_mean("map", of_class), *(_metric(f"ap_{name.lower()}", "all", of_class[name]) for name in of_class)]
        rows += [_metric("ap", name, value) for name, value in of_class.items()]
        for points in (40, 11):
            for measure, difficulty in means:
                name = f"aos_{difficulty}" if measure == "aos" else f"ap_{measure}_{difficulty}"
                name += "" if points == 40 else f"_at_{points}"
                mine = [entry for entry in table if (entry.measure, entry.difficulty) == (measure, difficulty)]
                values = {entry.class_name: entry.at_40 if points == 40 else entry.at_11 for entry in mine}
                rows += [_mean(name, values), *(_metric(name, *each) for each in values.items())]
        return rows


def _mean(name: str, percents: Mapping[str, float]) -> Metric:
    known = [percent for percent in percents.values() if not math.isnan(percent)]
    return _metric(name, "all", float(np.mean(known)) if known else math.nan)


def _metric(name: str, class_name: str, percent: float) -> Metric:
    missing = math.isnan(percent)
    return Metric(
        metric=name,
        class_name=class_name,
        value=None if missing else percent,
        higher_is_better=True,
        reason="no object of this difficulty in the whole split" if missing else None,
    )
