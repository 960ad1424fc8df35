"""SemanticKITTI's submission format, and its official evaluator on the toy city."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tuned import Tuned, tune

from cmcr.data.index import ScanIndex
from cmcr.data.releases import load_release
from cmcr.data.semantic_kitti_index import make_index
from cmcr.evaluation.iou import Confusion
from cmcr.tasks.model import evaluation_loader, load_model
from cmcr.tasks.predict import write_submission


@pytest.fixture(scope="module")
def validation(toy_semantic_kitti: Path) -> ScanIndex:
    return make_index("toy", toy_semantic_kitti, "semantic_kitti_mini", "mini_val")


@pytest.fixture(scope="module")
def train(toy_semantic_kitti: Path) -> ScanIndex:
    return make_index("toy", toy_semantic_kitti, "semantic_kitti_mini", "mini_train")


@pytest.fixture(scope="module")
def tuned(train: ScanIndex, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(train, validation, tmp_path_factory.mktemp("tuned_kitti"))


@pytest.fixture(scope="module")
def submission(tuned: Tuned, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("submission_kitti")
    write_submission(tuned[0], validation, output)
    return output


def test_one_file_a_scan_one_official_id_a_point_and_nothing_else(submission: Path, validation: ScanIndex) -> None:
    names = {str(path.relative_to(submission)) for path in submission.rglob("*") if path.is_file()}
    assert names == {f"sequences/08/predictions/{number:06d}.label" for number in range(3)}
    official = set(load_release("semantic_kitti").id_of_class[1:].tolist())
    for number in range(len(validation)):
        path = submission / "sequences" / "08" / "predictions" / f"{number:06d}.label"
        predicted = np.fromfile(path, "<u4")
        assert len(predicted) == len(validation.read(number).points)
        assert set(predicted.tolist()) <= official


def test_the_official_evaluator_gives_our_numbers(tuned: Tuned, submission: Path, validation: ScanIndex) -> None:
    """As evaluate_semantics.py drives it: label files, lower 16 bits, learning_map, predictions likewise."""
    evaluators = pytest.importorskip(
        "auxiliary.np_ioueval", reason="needs semantic-kitti-api: pip install --no-deps semantic-kitti-api==0.1"
    )
    release = load_release("semantic_kitti")
    official, ours = evaluators.iouEval(len(release.class_names), [0]), Confusion(len(release.class_names))
    for record in validation.records:
        assert record.labels is not None
        label = release.table[np.fromfile(validation.root / record.labels, "<u4") & 0xFFFF]
        name = Path(record.lidar).stem
        raw = np.fromfile(submission / "sequences" / record.scene / "predictions" / f"{name}.label", "<u4")
        predicted = release.table[raw & 0xFFFF]
        official.addBatch(predicted.astype(np.int64), label.astype(np.int64))
        ours.update(predicted, label)
    mean, per_class = official.getIoU()
    assert ours.miou("semantic_kitti") == pytest.approx(mean, rel=1e-9)
    assert mean > 0.03  # or else this would say little
    np.testing.assert_allclose(ours.iou("semantic_kitti")[1:], per_class[1:], rtol=1e-9, atol=1e-12)
    # The scores of the fine-tuning are the same numbers; a class that does not occur has none there.
    scored = {row.class_name: row.value for row in tuned[1].metrics if row.metric == "iou"}
    present = ours.counts.sum(axis=0) + ours.counts.sum(axis=1) > 0
    for number, name in enumerate(release.class_names[1:], start=1):
        assert scored[name] == (pytest.approx(100 * per_class[number], abs=1e-6) if present[number] else None)
    total = {row.metric: row.value for row in tuned[1].metrics if row.class_name == "all"}
    assert total["miou"] == pytest.approx(100 * per_class[1:][present[1:]].mean(), abs=1e-6)


def test_a_split_without_labels_can_be_predicted(
    tuned: Tuned, submission: Path, validation: ScanIndex, tmp_path: Path
) -> None:
    blind = tuple(dataclasses.replace(record, labels=None, labels_bytes=None) for record in validation.records)
    write_submission(tuned[0], dataclasses.replace(validation, records=blind, checksum=""), tmp_path)
    for path in submission.rglob("*.label"):
        assert (tmp_path / path.relative_to(submission)).read_bytes() == path.read_bytes()


def test_panoptic_labels_are_ids_with_instances_above(train: ScanIndex, validation: ScanIndex, tmp_path: Path) -> None:
    options = {"head": {"grid": {"cell_m": 1.0, "range_m": 30}, "channels": 4}, "threshold": 0.01}
    path, _ = tune(train, validation, tmp_path, task="panoptic", options=options)
    write_submission(path, validation, tmp_path / "submission")
    model, job = load_model(path, validation)
    model.eval()
    release, instances = load_release("semantic_kitti"), 0
    for record, batch in zip(validation.records, evaluation_loader(job, validation, with_labels=False), strict=True):
        file = tmp_path / "submission" / "sequences" / "08" / "predictions" / f"{Path(record.lidar).stem}.label"
        words = np.fromfile(file, "<u4")
        with torch.no_grad():
            predicted = model.task.predict(model(batch), batch)
        assert (release.table[words & 0xFFFF] == predicted.class_P).all()
        assert (words >> 16 == predicted.instance_P).all()
        instances += len(np.unique(predicted.instance_P)) - 1
    assert instances > 0
