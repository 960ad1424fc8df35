from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cmcr.data.batches import Batch
from cmcr.losses.segmentation import segmentation_losses
from cmcr.tasks.segmentation import SegmentationTask

NAMES = ("ignore", "road", "car", "tree")


def batch_of(voxel_P: list[int], labels_P: list[int] | None) -> Batch:
    """Points by the voxel each lies in; everything that the task does not look at is empty."""
    voxels = torch.tensor(voxel_P)
    first = [voxel_P.index(v) for v in range(max(voxel_P) + 1)]
    return Batch(
        tokens=("scan",),
        points_P4=torch.zeros(len(voxel_P), 4),
        scan_P=torch.zeros(len(voxel_P), dtype=torch.int64),
        coordinates_V4=torch.zeros(len(first), 4, dtype=torch.int32),
        intensity_V1=torch.zeros(len(first), 1),
        voxel_P=voxels,
        first_V=torch.tensor(first),
        labels_P=None if labels_P is None else torch.tensor(labels_P),
    )


def certain(classes_V: list[int]) -> Tensor:
    """Logits that choose the given class of each voxel, unless it is the ignored one."""
    return 10 * torch.nn.functional.one_hot(torch.tensor(classes_V), len(NAMES)).float()


def test_every_point_gets_the_class_of_its_voxel() -> None:
    batch = batch_of([0, 1, 0, 2, 1], None)
    assert SegmentationTask.predict(certain([3, 1, 2]), batch).tolist() == [3, 1, 3, 2, 1]


def test_the_ignored_class_is_never_predicted_however_high_it_scores() -> None:
    logits = torch.tensor([[9.0, 1.0, 2.0, 0.0], [9.0, -1.0, -2.0, -3.0]])
    assert SegmentationTask.predict(logits, batch_of([0, 1, 1], None)).tolist() == [2, 1, 1]


def test_a_case_counted_by_hand() -> None:
    # Voxel 0 (points 0, 1, 2) is predicted road, voxel 1 (points 3, 4, 5) car. Point 5 has no label.
    # road: 2 hits of 4 points that are or are called road; car: 1 of 3; no tree anywhere.
    task = SegmentationTask(2, NAMES)
    task.update(certain([1, 2]), batch_of([0, 0, 0, 1, 1, 1], [1, 1, 2, 1, 2, 0]))
    found = {(row.metric, row.class_name): row for row in task.metrics()}
    assert list(found) == [("miou", "all"), ("fwiou", "all"), ("iou", "road"), ("iou", "car"), ("iou", "tree")]
    assert found["iou", "road"].value == pytest.approx(50.0)
    assert found["iou", "car"].value == pytest.approx(100 / 3)
    assert found["iou", "tree"].value is None
    assert found["iou", "tree"].reason == "no point of this class in labels or predictions"
    assert found["miou", "all"].value == pytest.approx((50 + 100 / 3) / 2)
    assert found["fwiou", "all"].value == pytest.approx((3 * 50 + 2 * 100 / 3) / 5)
    assert all(row.higher_is_better for row in found.values())


def test_scans_are_counted_together_and_forgotten_on_reset() -> None:
    task = SegmentationTask(2, NAMES)
    task.update(certain([1]), batch_of([0, 0, 0], [1, 1, 1]))
    task.update(certain([1]), batch_of([0], [2]))
    assert task.metrics()[2].value == pytest.approx(75.0)
    task.reset()
    task.update(certain([2]), batch_of([0], [2]))
    assert task.metrics()[0].value == pytest.approx(100.0)


def test_without_any_labelled_point_there_is_a_reason_and_no_number() -> None:
    task = SegmentationTask(2, NAMES)
    task.update(certain([1]), batch_of([0, 0], [0, 0]))
    assert all(row.value is None and row.reason for row in task.metrics())


def test_the_losses_are_taken_on_voxels_labelled_by_their_first_point() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    task = SegmentationTask(2, NAMES)
    losses = task.losses(logits, batch_of([0, 1, 1, 2, 0], [1, 2, 3, 0, 2]))
    expected = segmentation_losses(logits, torch.tensor([1, 2, 0]))
    assert {name: loss.item() for name, loss in losses.items()} == {n: loss.item() for n, loss in expected.items()}


def test_the_ignored_class_gets_no_gradient_from_ignored_voxels() -> None:
    task = SegmentationTask(3, NAMES)
    features = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch = batch_of([0, 1], [0, 2])
    sum(task.losses(task(features, batch), batch).values(), torch.zeros(())).backward()
    assert features.grad is not None
    assert torch.equal(features.grad[0], torch.zeros(3))
    assert features.grad[1].abs().sum() > 0


def test_a_batch_without_labels_is_refused() -> None:
    task = SegmentationTask(2, NAMES)
    for use in (task.losses, task.update):
        with pytest.raises(ValueError, match="labels"):
            use(certain([1]), batch_of([0], None))


def test_points_and_not_voxels_are_counted() -> None:
    """Equal to a count point by point over random voxels."""
    rng = np.random.default_rng(0)
    voxel_P = rng.permutation(np.concatenate([np.arange(20), rng.integers(0, 20, 180)]))
    order = np.unique(voxel_P, return_index=True)[1]
    rename = np.argsort(np.argsort(order))
    voxel_P = rename[voxel_P]  # numbered by appearance, as voxelisation does
    labels_P, classes_V = rng.integers(0, 4, 200), rng.integers(1, 4, 20)
    task = SegmentationTask(2, NAMES)
    task.update(certain(classes_V.tolist()), batch_of(voxel_P.tolist(), labels_P.tolist()))
    for number, row in enumerate(task.metrics()[2:], start=1):
        hit = sum(label == number == classes_V[v] for label, v in zip(labels_P, voxel_P, strict=True))
        either = sum(label != 0 and number in (label, classes_V[v]) for label, v in zip(labels_P, voxel_P, strict=True))
        assert row.value == pytest.approx(100 * hit / either)
