"""Detections on Waymo, counted by its own package where its environment is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cmcr.boxes.detections import Detections
from cmcr.data.box_classes import BOX_CLASSES
from cmcr.data.index import ScanIndex
from cmcr.data.scan_record import ScanRecord
from cmcr.data.waymo_boxes import WaymoBoxes
from cmcr.data.waymo_names import CLASS_NAMES, THING_CLASSES
from cmcr.errors import CMCRError, ConfigError
from cmcr.evaluation import waymo_detection
from cmcr.evaluation.waymo_detection import WaymoDetectionScore, in_zones
from cmcr.waymo_environment import waymo_python

CAR, FAR_CAR = [10, 0, 1, 4, 2, 1.5, 0.3], [30, 5, 1, 4, 2, 1.5, 1]
WALKER, SIGN = [5, 5, 1, 0.8, 0.8, 1.8, 0], [8, -3, 2, 0.2, 0.5, 0.5, 0]
ZONE = np.array([[20.0, -10], [25, -10], [25, 10], [20, 10]])
needs_package = pytest.mark.skipif(not waymo_python().is_file(), reason="no Waymo environment: make waymo-env")


def index_of(*frames: WaymoBoxes) -> ScanIndex:
    records = tuple(
        ScanRecord(
            f"f{n}", "s", n, "none", 0, None, None, None, None, (), (), boxes="v/s.json", annotations=frame.to_text()
        )
        for n, frame in enumerate(frames)
    )
    return ScanIndex("w", "waymo", Path("nowhere"), "validation", "1.4", CLASS_NAMES, THING_CLASSES, records)


def labels(*rows: tuple[int, int, list[float]], zones: tuple[NDArray[np.float64], ...] = ()) -> WaymoBoxes:
    """Boxes of (type, number of returns, geometry)."""
    geometry = np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 7)
    types, points = (np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1))
    return WaymoBoxes(types, np.zeros(len(rows), dtype=np.int64), points, geometry, zones)


def found(*rows: tuple[int, float, list[float]]) -> Detections:
    """Detections of (class, score, geometry)."""
    return Detections(
        torch.tensor([row[2] for row in rows], dtype=torch.float64).reshape(-1, 7),
        torch.tensor([row[1] for row in rows]),
        torch.tensor([row[0] for row in rows], dtype=torch.int64),
    )


def scored(index: ScanIndex, *detections: Detections) -> dict[tuple[str, str], float | None]:
    score = WaymoDetectionScore(index, BOX_CLASSES["waymo"])
    for record, each in zip(index.records, detections, strict=True):
        score.update(record.token, each)
    metrics = score.metrics()
    assert (metrics[0].metric, metrics[0].class_name) == ("map", "all")
    return {(metric.metric, metric.class_name): metric.value for metric in metrics}


@needs_package
@pytest.mark.slow
def test_the_truth_is_perfect_and_levels_classes_headings_and_zones_count() -> None:
    # The far car is hard, one walker has no return and does not count, and neither does the sign.
    frames = [
        labels((1, 50, CAR), (1, 3, FAR_CAR), (2, 20, WALKER), (3, 9, SIGN)),
        labels((1, 50, CAR), (2, 0, WALKER), zones=(ZONE,)),
    ]
    index = index_of(*frames)
    everything = (found((1, 0.9, CAR), (1, 0.8, FAR_CAR), (2, 0.7, WALKER)), found((1, 0.9, CAR)))
    whole = scored(index, *everything)
    assert [value for value in whole.values() if value is not None] == pytest.approx([100] * 15, abs=1e-3)
    assert whole["ap", "cyclist"] is None
    assert whole["map", "all"] == pytest.approx(100, abs=1e-3)
    # Half a turn off: the box is found, its heading is not. And what lies in a zone without labels is no mistake.
    turned = [*CAR[:6], CAR[6] + np.pi]
    in_zone = [22, 0, 1, 4, 2, 1.5, 0]
    other = scored(index, found((1, 0.9, turned), (2, 0.7, WALKER)), found((1, 0.9, turned), (1, 0.95, in_zone)))
    assert other["ap_level_1", "vehicle"] == pytest.approx(100, abs=1e-3)
    assert other["aph_level_1", "vehicle"] == pytest.approx(0, abs=1e-3)
    assert other["ap_level_2", "vehicle"] == pytest.approx(100 * 2 / 3, abs=1e-3)  # two of three are found
    outside = scored(index, *everything[:1], found((1, 0.9, CAR), (1, 0.95, [40, 0, 1, 4, 2, 1.5, 0])))
    # Elsewhere it is one, and surer than the three that are right, of which the hard one counts for precision.
    assert outside["ap_level_1", "vehicle"] == pytest.approx(75, abs=1e-3)
    nothing = scored(index, found(), found())
    assert nothing["map", "all"] == 0
    assert nothing["ap", "cyclist"] is None


@needs_package
def test_a_scan_is_counted_once_and_all_are_needed() -> None:
    score = WaymoDetectionScore(index_of(labels(), labels()), BOX_CLASSES["waymo"])
    score.update("f0", found())
    with pytest.raises(ValueError, match="counted twice"):
        score.update("f0", found())
    with pytest.raises(ValueError, match="1 of 2 scans of validation were not counted"):
        score.metrics()


def test_without_the_environment_it_says_so_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", str(tmp_path / "python"))
    with pytest.raises(ConfigError, match=r"(?s)Waymo's own package.*make waymo-env"):
        WaymoDetectionScore(index_of(), BOX_CLASSES["waymo"])


def test_a_package_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no module named waymo' >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", str(python))
    score = WaymoDetectionScore(index_of(labels()), BOX_CLASSES["waymo"])
    score.update("f0", found())
    with pytest.raises(CMCRError, match="could not count the detections:\nno module named waymo"):
        score.metrics()


def test_zones_are_met_by_what_touches_them() -> None:
    boxes = np.array([CAR, [18.5, 0, 1, 4, 2, 1.5, 0], [17, 0, 1, 4, 2, 1.5, 0], [22, 0, 1, 4, 2, 1.5, 0]])
    assert in_zones(boxes, [ZONE]).tolist() == [False, True, False, True]
    assert in_zones(boxes, []).tolist() == [False] * 4
    assert in_zones(boxes[:0], [ZONE]).tolist() == []
    assert waymo_detection.OFFICIAL.is_file()
