"""Predictions as files, judged by the official evaluator on the toy city."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from invented import invented_index
from tuned import Tuned, tune

from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_index import make_index
from cmcr.errors import ConfigError, DataError, WeightsError
from cmcr.evaluation.panoptic_quality import PanopticQuality
from cmcr.tasks.panoptic_files import nuscenes_labels
from cmcr.tasks.predict import write_submission


@pytest.fixture(scope="module")
def validation(toy_nuscenes: Path) -> ScanIndex:
    return make_index("toy", toy_nuscenes, "v1.0-mini", "mini_val")


@pytest.fixture(scope="module")
def tuned(toy_nuscenes: Path, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    train = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_train")
    return tune(train, validation, tmp_path_factory.mktemp("tuned"))


@pytest.fixture(scope="module")
def panoptic(toy_nuscenes: Path, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    options = {"head": {"grid": {"cell_m": 0.8}, "channels": 8}, "nms_kernel": 3}
    folder = tmp_path_factory.mktemp("panoptic")
    train = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_train")
    return tune(train, validation, folder, task="panoptic", options=options)


@pytest.fixture(scope="module")
def submission(tuned: Tuned, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("submission")
    write_submission(tuned[0], validation, output)
    return output


@pytest.fixture
def devkit_splits(validation: ScanIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """The devkit looks for every scene of mini_val; the tiny city holds some of them."""
    scenes = sorted({record.scene for record in validation.records})
    monkeypatch.setattr("nuscenes.eval.lidarseg.utils.create_splits_scenes", lambda verbose: {"mini_val": scenes})  # noqa: ARG005


@pytest.mark.usefixtures("devkit_splits")
def test_the_devkits_evaluator_gives_our_numbers(toy_nuscenes: Path, tuned: Tuned, submission: Path) -> None:
    from nuscenes import NuScenes
    from nuscenes.eval.lidarseg.evaluate import LidarSegEval

    nusc = NuScenes("v1.0-mini", str(toy_nuscenes), verbose=False)
    official = LidarSegEval(nusc, str(submission), "mini_val").evaluate()
    ours = {(row.metric, row.class_name): row.value for row in tuned[1].metrics}
    assert ours["miou", "all"] == pytest.approx(100 * official["miou"], abs=1e-6)
    assert ours["fwiou", "all"] == pytest.approx(100 * official["freq_weighted_iou"], abs=1e-6)
    for name, iou in official["iou_per_class"].items():
        if name != "ignore":
            expected = None if np.isnan(iou) else pytest.approx(100 * iou, abs=1e-6)
            assert ours["iou", name] == expected
    assert ours["miou", "all"] > 2  # or else this would say little


@pytest.mark.usefixtures("devkit_splits")
def test_the_devkits_validation_accepts_the_folder(toy_nuscenes: Path, submission: Path) -> None:
    from nuscenes import NuScenes
    from nuscenes.eval.lidarseg.validate_submission import validate_submission

    validate_submission(NuScenes("v1.0-mini", str(toy_nuscenes), verbose=False), str(submission), "mini_val")


def test_one_file_a_scan_one_class_a_point_and_nothing_else(submission: Path, validation: ScanIndex) -> None:
    expected = {f"lidarseg/mini_val/{record.token}_lidarseg.bin" for record in validation.records}
    assert {str(p.relative_to(submission)) for p in submission.rglob("*") if p.is_file()} == expected | {
        "mini_val/submission.json"
    }
    for number, record in enumerate(validation.records):
        classes = np.fromfile(submission / "lidarseg" / "mini_val" / f"{record.token}_lidarseg.bin", dtype=np.uint8)
        assert len(classes) == len(validation.read(number).points)
        assert classes.min() >= 1
        assert classes.max() <= 16
    assert json.loads((submission / "mini_val" / "submission.json").read_text())["meta"]["use_lidar"] is True


def test_a_split_without_labels_can_be_predicted(
    tuned: Tuned, submission: Path, validation: ScanIndex, tmp_path: Path
) -> None:
    blind = tuple(
        dataclasses.replace(record, labels=None, labels_bytes=None, panoptic=None, panoptic_bytes=None)
        for record in validation.records
    )
    write_submission(tuned[0], dataclasses.replace(validation, records=blind, checksum=""), tmp_path)
    for path in submission.rglob("*.bin"):
        assert (tmp_path / path.relative_to(submission)).read_bytes() == path.read_bytes()


def test_an_interrupted_export_has_no_submission_file(tuned: Tuned, validation: ScanIndex, tmp_path: Path) -> None:
    lost = dataclasses.replace(validation.records[-1], lidar="samples/LIDAR_TOP/lost.bin")
    index = dataclasses.replace(validation, records=(*validation.records[:-1], lost), checksum="")
    with pytest.raises(DataError, match=r"lost\.bin"):
        write_submission(tuned[0], index, tmp_path)
    assert not list(tmp_path.rglob("submission.json"))
    assert len(list(tmp_path.rglob("*_lidarseg.bin"))) == len(validation) - 1


def test_what_does_not_fit_is_refused(tuned: Tuned, validation: ScanIndex, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a model for"):
        write_submission(tuned[0], invented_index(1), tmp_path)
    with pytest.raises(ConfigError, match="no submission format"):
        write_submission(tuned[0], dataclasses.replace(validation, reader="kitti"), tmp_path)
    with pytest.raises(WeightsError, match="no such weight file"):
        write_submission(tmp_path / "none.safetensors", validation, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def panoptic_submission(panoptic: Tuned, validation: ScanIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panoptic_submission")
    write_submission(panoptic[0], validation, folder)
    return folder


@pytest.mark.usefixtures("devkit_splits")
def test_the_devkits_panoptic_evaluator_gives_our_numbers(
    toy_nuscenes: Path, validation: ScanIndex, panoptic: Tuned, panoptic_submission: Path, tmp_path: Path
) -> None:
    from nuscenes import NuScenes
    from nuscenes.eval.panoptic.evaluate import NuScenesPanopticEval

    nusc = NuScenes("v1.0-mini", str(toy_nuscenes), verbose=False)

    def evaluate(folder: Path) -> dict[str, dict[str, float]]:
        arguments = (nusc, str(folder), "mini_val", "segmentation", 15, str(tmp_path))
        return NuScenesPanopticEval(*arguments).evaluate_segmentation()

    ours = {(row.metric, row.class_name): row.value for row in panoptic[1].metrics}
    names = {"PQ": "pq", "SQ": "sq", "RQ": "rq", "PQ_dagger": "pq_dagger", "mIoU": "miou", "IoU": "iou"}
    for class_name, found in evaluate(panoptic_submission).items():
        if class_name != "ignore":
            for name, value in found.items():
                assert ours[names[name], class_name] == pytest.approx(100 * value, abs=1e-6), (name, class_name)
    assert (ours["pq_stuff", "all"] or 0) > 2  # or else this would say little

    # So short a training finds no things. The truth with one point in five called vegetation does.
    counted = PanopticQuality(len(validation.class_names), validation.thing_classes, min_points=15)
    for number, record in enumerate(validation.records):
        scan = validation.read(number)
        true_P, instance_P = scan.labels.astype(np.int64), scan.instances.clip(min=0).astype(np.int64)
        wrong_P = (true_P == 0) | (np.random.default_rng(number).random(len(true_P)) < 0.2)
        found_P, of_thing_P = np.where(wrong_P, 16, true_P), np.where(wrong_P, 0, instance_P)
        labels_P = nuscenes_labels(record.token, found_P, of_thing_P)
        counted.update(found_P, of_thing_P, true_P, instance_P)
        (tmp_path / "panoptic" / "mini_val").mkdir(parents=True, exist_ok=True)
        np.savez_compressed(tmp_path / "panoptic" / "mini_val" / f"{record.token}_panoptic.npz", data=labels_P)
    official = evaluate(tmp_path)
    assert counted.pq_dagger() == pytest.approx(official["all"]["PQ_dagger"], abs=1e-9)
    for number, name in enumerate(validation.class_names[1:], start=1):
        assert counted.quality.pq[number] == pytest.approx(official[name]["PQ"], abs=1e-9)
    assert counted.quality.pq[counted.things].mean() > 0.3


def test_a_panoptic_submission_holds_one_label_a_point(panoptic_submission: Path, validation: ScanIndex) -> None:
    for number, record in enumerate(validation.records):
        path = panoptic_submission / "panoptic" / "mini_val" / f"{record.token}_panoptic.npz"
        with np.load(path) as file:
            labels = file["data"]
        assert labels.dtype == np.uint16
        assert len(labels) == len(validation.read(number).points)
        assert set(np.unique(labels // 1000)) <= set(range(1, 17))
        assert (labels[labels // 1000 > 10] % 1000 == 0).all()  # stuff has no instances
    assert len(list(panoptic_submission.rglob("*.npz"))) == len(validation)
    meta = json.loads((panoptic_submission / "mini_val" / "submission.json").read_text())["meta"]
    assert meta["task"] == "segmentation"  # of segmentation and tracking, in the challenge's words


def test_a_panoptic_split_without_labels_can_be_predicted(
    panoptic: Tuned, panoptic_submission: Path, validation: ScanIndex, tmp_path: Path
) -> None:
    blind = tuple(
        dataclasses.replace(record, labels=None, labels_bytes=None, panoptic=None, panoptic_bytes=None)
        for record in validation.records
    )
    write_submission(panoptic[0], dataclasses.replace(validation, records=blind, checksum=""), tmp_path)
    for path in panoptic_submission.rglob("*.npz"):
        assert (tmp_path / path.relative_to(panoptic_submission)).read_bytes() == path.read_bytes()
