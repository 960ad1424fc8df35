from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from invented import TINY, VOXELS, finetune_job, invented_index, with_instances
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cmcr.data.index import ScanIndex
from cmcr.data.scan import VOID, Scan
from cmcr.errors import ConfigError, DataError
from cmcr.models.backbone import make_backbone
from cmcr.pictures import write_picture
from cmcr.pictures_panoptic import draw_panoptic, draw_segments, partners
from cmcr.tasks.model import TaskModel, save_model
from cmcr.tasks.panoptic import PanopticPrediction
from cmcr.tasks.registry import make_task

WHITE = (1.0, 1.0, 1.0)


def colours(figure: Figure) -> list[NDArray[np.float64]]:
    """Colours of the points of each view, in the order of their heights, which here is that of the points."""
    clouds = [c for axes in figure.axes for c in axes.collections if isinstance(c, PathCollection)]
    return [np.asarray(cloud.get_facecolor())[:, :3] for cloud in clouds]


def scan_of(labels: list[int], instances: list[int]) -> Scan:
    points = np.zeros((len(labels), 4), dtype=np.float32)
    points[:, 0] = points[:, 2] = np.arange(len(labels))
    return Scan("scan", "toy", "scene", points, (), np.array(labels, np.uint8), np.array(instances, np.int32))


def test_partners_have_one_class_and_overlap_by_more_than_half() -> None:
    true = np.array([5, 5, 5, 6, 6, 7, 7, 0])
    predicted = np.array([1, 1, 2, 3, 3, 4, 0, 4])
    classes, true_classes = np.array([1, 1, 1, 2, 2, 1, 3, 1]), np.array([1, 1, 1, 1, 1, 1, 1, 3])
    # 1: two of three. 2: one of three. 3: all points, another class. 4: one of three.
    assert partners(predicted, true, classes, true_classes) == {1: 5}
    # Exactly one half is not enough.
    assert partners(np.array([1, 1]), np.array([5, 0]), np.array([1, 1]), np.array([1, 3])) == {}


def test_partners_share_a_colour_and_the_lonely_are_white() -> None:
    # A car found, a car missed, stuff, a point left out, and a car that is not there.
    scan = scan_of([1, 1, 1, 1, 3, 1, 3], [8, 8, 9, 9, 0, VOID, 0])
    prediction = PanopticPrediction(np.array([1, 1, 3, 3, 3, 1, 1]), np.array([2, 2, 0, 0, 0, 2, 3]))
    truth, found = colours(draw_segments(scan, prediction, "A title"))
    assert (truth[0] == truth[1]).all()
    np.testing.assert_array_equal(truth[:2], found[:2])
    assert tuple(truth[0]) != WHITE
    assert [tuple(colour) for colour in truth[2:4]] == [WHITE, WHITE]
    assert tuple(found[6]) == WHITE
    grey = truth[4]
    assert (grey < 0.5).all()
    for colour in (truth[5], truth[6], found[2], found[3], found[4], found[5]):
        np.testing.assert_array_equal(colour, grey)


def test_texts_count_instances_and_matches() -> None:
    scan = scan_of([1, 1, 1, 3], [8, 8, 9, 0])
    figure = draw_segments(scan, PanopticPrediction(np.array([1, 1, 1, 3]), np.array([1, 1, 0, 0])), "A title")
    texts = [text.get_text() for text in figure.texts]
    assert texts[:2] == ["ground truth: 2 instances", "prediction: 1 instances"]
    assert "A title" in texts
    assert texts[-1].startswith("1 match")


@pytest.fixture
def index() -> ScanIndex:
    return with_instances(invented_index(2, "val"))


@pytest.fixture
def model(tmp_path: Path, index: ScanIndex) -> Path:
    torch.manual_seed(0)
    backbone, options = make_backbone(TINY), {"head": {"grid": {"cell_m": 1.0}, "channels": 4}}
    task = make_task("panoptic", backbone, index, options)
    path = tmp_path / "model.safetensors"
    save_model(path, TaskModel(backbone, task), finetune_job(task="panoptic", options=options, voxels=VOXELS), index)
    return path


def test_a_saved_model_is_drawn_and_the_same_picture_has_the_same_bytes(
    model: Path, index: ScanIndex, tmp_path: Path
) -> None:
    for name in "ab":
        write_picture(tmp_path / f"{name}.png", draw_panoptic(model, index, 1, "Invented"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size[0] > 1000


def test_what_cannot_be_drawn_is_refused(
    model: Path, index: ScanIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no scan 2; there are 2"):
        draw_panoptic(model, index, 2, "")
    bare = dataclasses.replace(index, records=tuple(dataclasses.replace(r, panoptic=None) for r in index.records))
    bare_scan = dataclasses.replace(index.read(0), instances=None)
    with monkeypatch.context() as patch:
        patch.setattr(type(bare), "read", lambda *_, **__: bare_scan)
        with pytest.raises(DataError, match="no panoptic labels"):
            draw_panoptic(model, bare, 0, "")
    backbone = make_backbone(TINY)
    other = tmp_path / "segmentation.safetensors"
    save_model(other, TaskModel(backbone, make_task("segmentation", backbone, index, {})), finetune_job(), index)
    with pytest.raises(ConfigError, match="one for segmentation"):
        draw_panoptic(other, index, 0, "")
