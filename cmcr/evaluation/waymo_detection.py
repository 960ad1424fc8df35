"""Detections on Waymo: AP and APH at both levels of difficulty, counted by Waymo's own package (arXiv:1912.04838, 5.1).

In short: vehicles are found at an overlap in space of 0.7, pedestrians and cyclists of 0.5; APH weighs what is found by
its heading. Level 1 are things with more than five returns that were not labelled as hard, level 2 all with any return.
Signs are not counted, nor is what is found in zones without labels. The package lives in an environment of its own
(``make waymo-env``), so the counting is a process there.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Polygon

from cmcr.boxes.boxes3d import corners
from cmcr.boxes.detections import Detections
from cmcr.data.index import ScanIndex
from cmcr.data.waymo import read_boxes
from cmcr.data.waymo_names import BOX_TYPES
from cmcr.errors import CMCRError, ConfigError
from cmcr.results.scores import Metric
from cmcr.sources import ROOT
from cmcr.waymo_environment import HOW_TO_MAKE, waymo_python

#: Runs in the other environment: arrays in, numbers out.
OFFICIAL: Final = ROOT / "workflow" / "waymo" / "detection_metrics.py"
LEVELS: Final = (1, 2)
#: The level that ranks: all that can be seen at all.
HEADLINE: Final = 2


class WaymoDetectionScore:
    """The official numbers of a split, scan by scan."""

    words: ClassVar[str] = "mAP is the mean over vehicles, pedestrians and cyclists of Waymo's AP in space at level 2"

    def __init__(self, index: ScanIndex, classes: Sequence[str]):
        """Begin with nothing counted.

        Args:
            index: the split; labels are looked at when a scan's turn comes.
            classes: names of the class numbers from 1 on, of `BOX_TYPES`.

        Raises:
            ConfigError: the environment with Waymo's package is not there.
        """
        if not waymo_python().is_file():
            raise ConfigError(
                f"detections on {index.dataset} are counted by Waymo's own package\n"
                f"  expected: its environment, {waymo_python()}\n  found:    none\n  way out:  {HOW_TO_MAKE}"
            )
        self.index, self.classes = index, tuple(classes)
        self._place = {record.token: place for place, record in enumerate(index.records)}
        self._counted: set[str] = set()
        self._labels: list[dict[str, NDArray[Any]]] = []
        self._found: list[dict[str, NDArray[Any]]] = []

    def update(self, token: str, found: Detections) -> None:
        """Count what was found in one scan, in its LiDAR frame.

        Raises:
            DataError: the scan has no labelled boxes.
            ValueError: it was counted before.
        """
        if token in self._counted:
            raise ValueError(f"scan {token} is counted twice")
        place = self._place[token]
        labels = read_boxes(self.index.records[place], self.index.root)
        seen = (labels.levels > 0) & np.isin(labels.types, list(BOX_TYPES.values()))
        self._labels.append(
            {
                "frame": np.full(seen.sum(), place, np.int64),
                "box": labels.geometry[seen].astype(np.float32),
                "type": labels.types[seen].astype(np.uint8),
                "difficulty": labels.levels[seen].astype(np.uint8),
            }
        )
        types = np.array([0, *(BOX_TYPES[name] for name in self.classes)], np.uint8)
        geometry = found.boxes_N7.double().cpu().numpy()
        self._found.append(
            {
                "frame": np.full(len(geometry), place, np.int64),
                "box": geometry.astype(np.float32),
                "type": types[found.classes_N.cpu().numpy()],
                "score": found.scores_N.float().cpu().numpy(),
                "in_zone": in_zones(geometry, labels.zones),
            }
        )
        self._counted.add(token)

    def metrics(self) -> list[Metric]:
        """Return everything in percent, the number that ranks first.

        ``map`` is the mean over classes of the AP at level 2, and ``ap`` that AP of each class. Then ``ap_level_1``,
        ``aph_level_1``, ``ap_level_2`` and ``aph_level_2``, of each class and the mean. A class without a thing that
        counts has no number and no part in a mean.

        Raises:
            ValueError: a scan of the split was not counted.
            CMCRError: the package failed.
        """
        if missing := self._place.keys() - self._counted:
            raise ValueError(f"{len(missing)} of {len(self._place)} scans of {self.index.split} were not counted")
        labels, found = _joined(self._labels), _joined(self._found)
        official = official_metrics(labels, found)
        rows: dict[tuple[str, int], dict[str, float | None]] = {}
        for level in LEVELS:
            for place, measure in enumerate(("ap", "aph")):
                rows[measure, level] = {}
                for name in self.classes:
                    counts = (labels["type"] == BOX_TYPES[name]) & (labels["difficulty"] <= level)
                    value = official[f"OBJECT_TYPE_TYPE_{name.upper()}_LEVEL_{level}"][place]
                    rows[measure, level][name] = 100 * value if counts.any() else None
        headline = rows["ap", HEADLINE]
        metrics = [_mean("map", headline), *(_metric("ap", name, value) for name, value in headline.items())]
        for (measure, level), values in rows.items():
            metrics.append(_mean(f"{measure}_level_{level}", values))
            metrics += [_metric(f"{measure}_level_{level}", name, value) for name, value in values.items()]
        return metrics


def official_metrics(labels: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]]) -> dict[str, tuple[float, float]]:
    """Return AP and APH, as shares, by the package's names of its breakdowns.

    Args:
        labels: (N,) int64 ``frame``, (N, 7) float32 ``box``, (N,) uint8 ``type`` and ``difficulty``.
        found: likewise, and (M,) float32 ``score`` and bool ``in_zone``.

    Raises:
        CMCRError: the package failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        arrays, answer = Path(folder) / "arrays.npz", Path(folder) / "metrics.json"
        named = {f"label_{name}": values for name, values in labels.items()}
        np.savez(arrays, **named, **{f"found_{name}": values for name, values in found.items()})
        command = [str(waymo_python()), str(OFFICIAL), "--arrays", str(arrays), "--output", str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join(done.stderr.splitlines()[-5:])
            raise CMCRError(f"Waymo's package could not count the detections:\n{last}\n  way out:  {HOW_TO_MAKE}")
        return {name: (ap, aph) for name, (ap, aph) in json.loads(answer.read_text(encoding="utf-8")).items()}


def in_zones(geometry_N7: NDArray[np.float64], zones: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return (N,) whether each box, seen from above, meets a zone without labels; (Z, 2) corners of each."""
    areas = [Polygon(zone).buffer(0) for zone in zones]
    floors = corners(geometry_N7)[:, :4, :2] if areas else ()
    met = [any(area.intersects(Polygon(floor)) for area in areas) for floor in floors]
    return np.array(met, dtype=bool) if areas else np.zeros(len(geometry_N7), dtype=bool)


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _mean(name: str, values: dict[str, float | None]) -> Metric:
    known = [value for value in values.values() if value is not None]
    return _metric(name, "all", float(np.mean(known)) if known else None)


def _metric(name: str, class_name: str, percent: float | None) -> Metric:
    reason = "no thing of this class and level in the whole split" if percent is None else None
    return Metric(metric=name, class_name=class_name, value=percent, higher_is_better=True, reason=reason)
