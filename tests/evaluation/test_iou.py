from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from nuscenes.eval.lidarseg.utils import ConfusionMatrix

from cmcr.evaluation.iou import Confusion


def counted(prediction: list[int], label: list[int], classes: int = 4) -> Confusion:
    confusion = Confusion(classes)
    confusion.update(np.array(prediction, dtype=np.uint8), np.array(label, dtype=np.uint8))
    return confusion


def official(prediction: NDArray[np.integer], label: NDArray[np.integer], classes: int) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes, ignore_idx=0)
    matrix.update(label, prediction)
    return matrix


@settings(max_examples=50, deadline=None)
@given(points=st.integers(1, 200), classes=st.integers(2, 17), seed=st.integers(0, 10_000))
def test_equals_the_devkit(points: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few of the classes at a time, so that absent ones and ones that are only predicted come up often.
    prediction = rng.choice(rng.integers(1, classes, size=3), size=points)
    label = rng.choice(rng.integers(0, classes, size=3), size=points)
    label[0] = 1
    ours, theirs = Confusion(classes), official(prediction, label, classes)
    ours.update(prediction, label)
    assert ours.miou() == pytest.approx(theirs.get_mean_iou(), rel=1e-9)
    assert ours.fwiou() == pytest.approx(theirs.get_freqweighted_iou(), rel=1e-9)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(ours.iou(), theirs.get_per_class_iou(), rtol=1e-9)


def test_equals_the_released_code(shared: Path) -> None:
    fixture = np.load(shared / "fixtures" / "official_losses.npz")
    confusion = Confusion(int(fixture["iou/num_classes"]), int(fixture["iou/ignore_index"]))
    confusion.update(fixture["iou/predictions"], fixture["iou/labels"])
    # The fixture was computed in float32.
    assert confusion.miou("released") == pytest.approx(float(fixture["iou/miou"]), rel=1e-6)
    assert confusion.fwiou("released") == pytest.approx(float(fixture["iou/fwiou"]), rel=1e-6)
    np.testing.assert_allclose(confusion.iou("released")[1:], fixture["iou/per_class"], rtol=1e-6)


def test_a_case_solved_by_hand() -> None:
    # Class 1: 2 right, 1 missed. Class 2: 1 right, 1 wrongly claimed. Class 3 is absent; the unlabelled point is not.
    confusion = counted(prediction=[1, 1, 2, 2, 3], label=[1, 1, 1, 2, 0])
    np.testing.assert_allclose(confusion.iou(), [np.nan, 2 / 3, 1 / 2, np.nan])
    assert confusion.miou() == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert confusion.fwiou() == pytest.approx(3 / 4 * 2 / 3 + 1 / 4 * 1 / 2)
    np.testing.assert_allclose(confusion.iou("released"), [np.nan, 2 / 3, 1 / 2, 1.0])
    assert confusion.miou("released") == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert confusion.fwiou("released") == pytest.approx(3 / 5)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    confusion = counted(prediction=[1, 3], label=[1, 1])
    np.testing.assert_allclose(confusion.iou(), [np.nan, 1 / 2, np.nan, 0])
    assert confusion.miou() == pytest.approx(1 / 4)


def test_scan_by_scan_equals_all_at_once() -> None:
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(1, 17, 1000), rng.integers(0, 17, 1000)
    whole, parts = Confusion(17), Confusion(17)
    whole.update(prediction, label)
    for part in np.split(np.arange(1000), [0, 10, 500]):
        parts.update(prediction[part], label[part])
    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert whole.counts.dtype == np.int64


def test_counts_are_the_points_of_each_label_and_prediction() -> None:
    confusion = counted(prediction=[1, 1, 2, 3, 3], label=[1, 1, 1, 2, 0])
    assert confusion.counts.tolist() == [[0, 0, 0, 0], [0, 2, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


@pytest.mark.filterwarnings("error")  # a mean over nothing, or 0 / 0, is decided here and not left to numpy
def test_without_labels_there_is_no_number() -> None:
    confusion = counted(prediction=[1, 2], label=[0, 0])
    assert np.isnan(confusion.miou())
    assert np.isnan(confusion.fwiou())
    assert np.isnan(confusion.fwiou("released"))


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [
        ([1, 0, 1], [1, 1, 1], "1 of 3 points are predicted as the ignored class 0"),
        ([0], [0], "predicted as the ignored class"),
        ([1, 4], [1, 1], r"every prediction in 0\.\.3, found 1\.\.4"),
        ([1], [9], r"every label in 0\.\.3, found 9\.\.9"),
        ([1], [1, 2], "one prediction per label"),
    ],
)
def test_what_cannot_be_counted_is_refused(prediction: list[int], label: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counted(prediction, label)


def test_negative_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="every label"):
        Confusion(4).update(np.array([1]), np.array([-1]))


@settings(max_examples=50, deadline=None)
@given(points=st.integers(1, 200), classes=st.integers(2, 20), seed=st.integers(0, 10_000))
def test_equals_semantic_kittis_evaluator(points: int, classes: int, seed: int) -> None:
    evaluators = pytest.importorskip(
        "auxiliary.eval_np", reason="needs semantic-kitti-api: pip install --no-deps semantic-kitti-api==0.1"
    )
    rng = np.random.default_rng(seed)
    prediction = rng.choice(rng.integers(1, classes, size=3), size=points)
    label = rng.choice(rng.integers(0, classes, size=3), size=points)
    ours, theirs = Confusion(classes), evaluators.PanopticEval(classes, ignore=[0])
    ours.update(prediction, label)
    theirs.addBatchSemIoU(prediction, label)
    mean, per_class = theirs.getSemIoU()
    assert ours.miou("semantic_kitti") == pytest.approx(float(mean), rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(ours.iou("semantic_kitti")[1:], per_class[1:], rtol=1e-9, atol=1e-12)


def test_an_absent_class_counts_as_zero_by_semantic_kittis_rule() -> None:
    confusion = counted([1, 1, 2], [1, 1, 1])
    assert confusion.iou("semantic_kitti").tolist()[1:] == pytest.approx([2 / 3, 0, 0])
    assert confusion.miou("semantic_kitti") == pytest.approx(2 / 9)
    assert confusion.miou() == pytest.approx(1 / 3)
