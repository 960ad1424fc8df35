from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from invented_kitti import write_frame, write_split
from matplotlib.collections import LineCollection
from PIL import Image

from cmcr.boxes.boxes3d import Boxes3D
from cmcr.data.kitti_index import make_index
from cmcr.data.scan import Scan
from cmcr.errors import DataError
from cmcr.pictures import write_picture
from cmcr.pictures_boxes import draw_boxes

NAMES = ("ignore", "Car", "Pedestrian", "Cyclist")


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    write_frame(tmp_path)
    write_split(tmp_path, "train", "000003")
    return make_index("kitti", tmp_path, "training", "train").read(0)


def test_edges_lie_where_the_boxes_are(scan: Scan, tmp_path: Path) -> None:
    detected = Boxes3D(np.array([[15.0, 2, -1, 4, 2, 1.5, 0]]), np.array([3]))
    figure = draw_boxes(scan, NAMES, "a frame", detected)
    upper, lower = figure.axes
    in_image = [c for c in upper.collections if isinstance(c, LineCollection)]
    assert [len(lines.get_segments()) for lines in in_image] == [2 * 12, 12]
    outlines = [c for c in lower.collections if isinstance(c, LineCollection)]
    car = np.array(outlines[0].get_segments()[0])
    assert scan.boxes is not None
    np.testing.assert_allclose(car[:4].mean(axis=0), scan.boxes.geometry[0, :2])
    found = np.array(outlines[2].get_segments()[0])
    np.testing.assert_allclose(np.ptp(found, axis=0), [4, 2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["other", "Car", "Cyclist", "detected"]
    write_picture(tmp_path / "a.png", figure, points_first=False)
    assert Image.open(tmp_path / "a.png").size[0] > 1000


def test_without_boxes(scan: Scan) -> None:
    empty = Boxes3D(np.empty((0, 7)), np.empty(0, dtype=np.int64))
    assert not draw_boxes(Scan("t", "d", "s", scan.points, scan.cameras, None, None, empty), NAMES, "none").legends


def test_refuses_a_camera_that_is_not_there(scan: Scan) -> None:
    with pytest.raises(DataError, match="none of number 1"):
        draw_boxes(scan, NAMES, "a frame", camera=1)
