from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detectors import ANCHORS, tune_detector
from invented import TINY, finetune_job
from matplotlib.collections import LineCollection
from PIL import Image

from cmcr.cli import main
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index
from cmcr.data.nuscenes_index import make_index as make_nuscenes_index
from cmcr.errors import ConfigError, DataError
from cmcr.models.backbone import make_backbone
from cmcr.pictures_detection import draw_detection
from cmcr.tasks.model import TaskModel, save_model
from cmcr.tasks.registry import make_task


@pytest.fixture(scope="module")
def validation(toy_kitti: Path) -> ScanIndex:
    return make_index("toy_kitti", toy_kitti, "training", "val")


@pytest.fixture(scope="module")
def model(toy_kitti: Path, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = make_index("toy_kitti", toy_kitti, "training", "train")
    head = {**ANCHORS, "min_score": 0.01}
    return tune_detector(train, range(4), validation, tmp_path_factory.mktemp("detector"), head)[0]


def outlines(model: Path, validation: ScanIndex, min_score: float) -> list[int]:
    """Numbers of outlines seen from above: of the labelled boxes, then of those found."""
    _, lower = draw_detection(model, validation, 0, "a frame", min_score=min_score).axes
    lines = [each for each in lower.collections if isinstance(each, LineCollection)]
    return [len(each.get_segments()) for each in lines[::2]]


def test_labelled_and_found_boxes_are_drawn_the_unlikely_ones_left_out(model: Path, validation: ScanIndex) -> None:
    boxes = validation.read(0).boxes
    assert boxes is not None
    every, few = outlines(model, validation, 0.0), outlines(model, validation, 0.9999)
    assert every[0] == few[0] == len(boxes)
    assert every[1] > few[1] == 0


def test_the_command_writes_the_same_picture_twice(model: Path, validation: ScanIndex, tmp_path: Path) -> None:
    validation.save(tmp_path / "val.jsonl")
    for name in ("a.png", "b.png"):
        arguments = ["--model", str(model), "--index", str(tmp_path / "val.jsonl"), "--title", "Boxes"]
        assert main(["draw-boxes", *arguments, "--min-score", "0.05", "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.ptp(np.asarray(Image.open(tmp_path / "a.png").convert("L"))) > 200


def test_what_cannot_be_drawn_is_refused(
    model: Path, validation: ScanIndex, toy_nuscenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"no scan 2; there are 2"):
        draw_detection(model, validation, 2, "")
    with pytest.raises(DataError, match="none of number 1"):
        draw_detection(model, validation, 0, "", camera=1)
    index, backbone = make_nuscenes_index("toy", toy_nuscenes, "v1.0-mini", "mini_val"), make_backbone(TINY)
    other = TaskModel(backbone, make_task("segmentation", backbone, index, {}))
    save_model(tmp_path / "other.safetensors", other, finetune_job(), index)
    with pytest.raises(ConfigError, match="one for segmentation"):
        draw_detection(tmp_path / "other.safetensors", index, 0, "")
