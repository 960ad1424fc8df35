"""3D object detection, from a backbone to scores, files and pictures, on the toy city as KITTI's object benchmark."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectors import ANCHORS, CENTRES, GRID, detect_job, tune_detector
from invented import TINY_VOXELNET, invented_index

from cmcr.data.box_classes import BOX_CLASSES
from cmcr.data.box_sampling import BoxDatabase
from cmcr.data.detection_batches import DetectionDataset
from cmcr.data.draws import Draw
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index
from cmcr.data.kitti_labels import read_objects
from cmcr.data.scan import Scan
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import ConfigError, DataError, WeightsError
from cmcr.evaluation.kitti_detection import detected_objects
from cmcr.models.backbone import make_backbone
from cmcr.tasks.detection import SCORES, DetectionOptions, DetectionTask
from cmcr.tasks.model import evaluation_loader, load_model
from cmcr.tasks.predict import write_submission


@pytest.fixture(scope="module")
def train(toy_kitti: Path) -> ScanIndex:
    return make_index("toy_kitti", toy_kitti, "training", "train")


@pytest.fixture(scope="module")
def validation(toy_kitti: Path) -> ScanIndex:
    return make_index("toy_kitti", toy_kitti, "training", "val")


def without_boxes(index: ScanIndex, *places: int) -> ScanIndex:
    records = [
        dataclasses.replace(record, boxes=None, boxes_bytes=None) if place in places else record
        for place, record in enumerate(index.records)
    ]
    return dataclasses.replace(index, records=tuple(records), checksum="")


def build(index: ScanIndex, **options: Any) -> DetectionTask:
    return DetectionTask.build(make_backbone(TINY_VOXELNET, GRID), index, DetectionOptions(**options))


def test_scans_without_boxes_are_refused(train: ScanIndex) -> None:
    DetectionTask.check(train, range(4))
    with pytest.raises(DataError, match=r"(?s)no boxes for 1 of 3 scans, the first is 001000.*label_2"):
        DetectionTask.check(without_boxes(train, 2, 3), [0, 1, 2])


def test_the_head_is_for_the_classes_of_the_data_set(train: ScanIndex) -> None:
    assert build(train, head=ANCHORS).counted.classes == BOX_CLASSES["kitti"] == ("Car", "Pedestrian", "Cyclist")
    assert BOX_CLASSES.keys() == SCORES.keys()
    with pytest.raises(ConfigError, match=r"(?s)options\.head.*an anchor for each class.*Cyclist.*2 of 3"):
        build(train, head={**ANCHORS, "anchors": ANCHORS["anchors"][:2]})
    with pytest.raises(ConfigError, match=r"(?s)options\.head.*every class in one group.*2 of 3"):
        build(train, head={**CENTRES, "groups": [[1], [2]]})
    with pytest.raises(ConfigError, match=r"(?s)options\.sampling\.wanted.*found:    Bus\n.*sampling: null"):
        build(train, head=ANCHORS, sampling={"wanted": {"Bus": 1, "Car": 2}})
    with pytest.raises(ConfigError, match="not counted on data of the format semantic_kitti"):
        build(dataclasses.replace(train, reader="semantic_kitti"), head=ANCHORS)


def test_things_are_taken_from_labelled_scans_alone_and_no_other_label_is_read(
    train: ScanIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, bool]] = []
    real = ScanIndex.read

    def noting(self: ScanIndex, position: int, *, with_labels: bool = True) -> Scan:
        read.append((self.records[position].token, with_labels))
        return real(self, position, with_labels=with_labels)

    monkeypatch.setattr(ScanIndex, "read", noting)
    scans = DetectionTask.training_scans(train, [1, 3], detect_job())
    assert isinstance(scans, DetectionDataset)
    assert scans.database is not None
    assert scans.database.tokens == ("000001", "001001")
    for epoch in range(3):
        for position in range(2):
            scans[Draw(epoch, position)]
    assert {token for token, with_labels in read if with_labels} == {"000001", "001001"}
    assert {token for token, _ in read} == {"000001", "001001"}
    # A database of more than the labelled scans is refused.
    whole = BoxDatabase(train, range(4), DetectionOptions(sampling={"wanted": {"Car": 3}}).sampling)
    with pytest.raises(ValueError, match="labels are not to be used"):
        DetectionDataset(train, [1, 3], GRID, database=whole)
    plain = detect_job(options={"head": ANCHORS, "sampling": None})
    assert DetectionTask.training_scans(train, [1, 3], plain).database is None  # type: ignore[attr-defined]


def test_voxels_without_bounds_are_refused(train: ScanIndex) -> None:
    job = detect_job(voxels=VoxelGrid())
    for make in (
        lambda: DetectionTask.training_scans(train, [0], job),
        lambda: DetectionTask.evaluation_scans(train, job, with_labels=False),
    ):
        with pytest.raises(ConfigError, match="bounded grid"):
            make()


@pytest.mark.parametrize("head", [ANCHORS, CENTRES], ids=["second", "centre"])
def test_a_detector_is_trained_scored_and_kept(
    train: ScanIndex, validation: ScanIndex, tmp_path: Path, head: dict[str, Any]
) -> None:
    """On another grid than that of its pre-training, which its weights do not mind."""
    outcomes = [tune_detector(train, [0, 2], validation, tmp_path / name, head) for name in "ab"]
    (path, scores), (again, same) = outcomes
    assert path.read_bytes() == again.read_bytes()
    assert scores.metrics == same.metrics
    assert (scores.task, scores.num_frames, scores.label_scans) == ("detection", 2, 2)
    assert (scores.metrics[0].metric, scores.metrics[0].class_name) == ("map", "all")
    names = {(metric.metric, metric.class_name) for metric in scores.metrics}
    assert {("ap_car", "all"), ("ap", "Car"), ("ap_3d_easy", "Pedestrian"), ("aos_hard", "all")} <= names
    losses = {"second": "class,box,direction", "centre": "heat,box"}[head["kind"]]
    assert (tmp_path / "a" / "logs" / "metrics.csv").read_text().startswith(f"step,epoch,lr,loss,{losses}\n")
    model, job = load_model(path, validation)
    assert (job.voxels, job.backbone) == (GRID, TINY_VOXELNET)
    with torch.no_grad():
        for batch in evaluation_loader(job, validation, with_labels=True):
            model.task.update(model(batch), batch)
    assert model.task.metrics() == scores.metrics


def test_a_linear_probe_is_refused(train: ScanIndex, validation: ScanIndex, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no linear probe of this task"):
        tune_detector(train, [0], validation, tmp_path, ANCHORS, protocol="linear_probe", augmentation=None)


def test_a_submission_has_a_file_for_each_frame_with_what_the_model_finds(
    train: ScanIndex, validation: ScanIndex, tmp_path: Path
) -> None:
    # So unsure a detector finds something everywhere.
    path, _ = tune_detector(train, range(4), validation, tmp_path, {**ANCHORS, "min_score": 0.005})
    write_submission(path, validation, tmp_path / "submission")
    files = sorted((tmp_path / "submission").iterdir())
    assert [file.name for file in files] == ["040000.txt", "040001.txt"]
    model, job = load_model(path, validation)
    loader = evaluation_loader(job, validation, with_labels=False)
    for file, record, batch in zip(files, validation.records, loader, strict=True):
        with torch.no_grad():
            (found,) = model.task.predict(model(batch), batch)
        expected, written = detected_objects(validation, record, found), read_objects(file, scored=True)
        assert len(written) > 5
        assert written.name.tolist() == expected.name.tolist()
        for name, digits in (("image_box", 2), ("size", 2), ("location", 2), ("rotation_y", 2), ("alpha", 2)):
            np.testing.assert_allclose(getattr(written, name), getattr(expected, name), atol=0.51 * 10**-digits)
        np.testing.assert_array_equal(written.score, expected.score)
    # Labels have no part in it.
    write_submission(path, without_boxes(validation, 0, 1), tmp_path / "blind")
    for file in files:
        assert (tmp_path / "blind" / file.name).read_bytes() == file.read_bytes()


def test_a_backbone_of_the_other_network_is_refused(train: ScanIndex, validation: ScanIndex, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="weights for the voxels"):
        tune_detector(train, [0], validation, tmp_path, ANCHORS, voxels=VoxelGrid())
    with pytest.raises(DataError, match="has no boxes for 3 of 3"):
        DetectionTask.check(invented_index(3), range(3))
