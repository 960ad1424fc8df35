from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmcr.losses.segmentation import lovasz_softmax, segmentation_losses


def segmentation_loss(logits: Tensor, labels: Tensor, ignore: int = 0) -> Tensor:
    """The sum, which is what a training minimises."""
    losses = segmentation_losses(logits, labels, ignore)
    assert list(losses) == ["cross_entropy", "lovasz"]
    return losses["cross_entropy"] + losses["lovasz"]


def invent(points: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(points, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (points,), generator=generator)


def slow_lovasz(probabilities: Tensor, labels: Tensor, ignore: int) -> float:
    """Class by class and point by point: the Jaccard loss as more and more points are got wrong."""
    kept = [i for i in range(len(labels)) if labels[i] != ignore]
    losses = []
    for c in sorted({int(labels[i]) for i in kept}):
        truth = {i for i in kept if labels[i] == c}
        error = {i: abs((1.0 if i in truth else 0.0) - float(probabilities[i, c])) for i in kept}
        wrong: set[int] = set()
        loss, before = 0.0, 0.0
        for i in sorted(kept, key=lambda i: -error[i]):
            wrong.add(i)
            predicted = (truth - wrong) | (wrong - truth)
            jaccard = 1 - len(truth & predicted) / len(truth | predicted)
            loss += error[i] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return sum(losses) / len(losses)


def slow_cross_entropy(probabilities: Tensor, labels: Tensor, ignore: int) -> float:
    kept = [i for i in range(len(labels)) if labels[i] != ignore]
    return -sum(math.log(float(probabilities[i, labels[i]])) for i in kept) / len(kept)


def test_equals_the_released_code(shared: Path) -> None:
    official = np.load(shared / "fixtures" / "official_losses.npz")
    logits = torch.tensor(official["segmentation_loss/logits"], requires_grad=True)
    labels = torch.tensor(official["segmentation_loss/labels"])
    ignore = int(official["segmentation_loss/ignore_index"])
    loss = segmentation_loss(logits, labels, ignore)
    loss.backward()
    assert loss.item() == pytest.approx(float(official["segmentation_loss/loss"]), rel=1e-5)
    lovasz = lovasz_softmax(logits.softmax(dim=1), labels, ignore).item()
    assert lovasz == pytest.approx(float(official["segmentation_loss/lovasz"]), rel=1e-5)
    expected = torch.tensor(official["segmentation_loss/grad"])
    assert logits.grad is not None
    assert (logits.grad - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("points", "classes", "ignore"), [(1, 2, 5), (7, 3, 0), (40, 17, 0), (60, 4, 2)])
def test_equals_the_equations(points: int, classes: int, ignore: int) -> None:
    logits, labels = invent(points, classes, seed=points)
    probabilities = logits.softmax(dim=1)
    lovasz = slow_lovasz(probabilities, labels, ignore)
    assert lovasz_softmax(probabilities, labels, ignore).item() == pytest.approx(lovasz, rel=1e-12)
    total = lovasz + slow_cross_entropy(probabilities, labels, ignore)
    assert segmentation_loss(logits, labels, ignore).item() == pytest.approx(total, rel=1e-12)


def test_a_case_solved_by_hand() -> None:
    # Class 1: errors 0.8 (its own point) and 0.4 (the other). Wrong at the first: IoU 0, so the second adds nothing.
    # Class 2: errors 0.8 (not its point) and 0.4 (its own). Wrong at the first: IoU 1/2; at both: 0.
    probabilities = torch.tensor([[0.0, 0.2, 0.8], [0.0, 0.4, 0.6]])
    expected = ((0.8 * 1) + (0.8 * 0.5 + 0.4 * 0.5)) / 2
    assert lovasz_softmax(probabilities, torch.tensor([1, 2])).item() == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(points=st.integers(1, 30), classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_for_certain_predictions_lovasz_is_one_minus_iou(points: int, classes: int, seed: int) -> None:
    logits, labels = invent(points, classes, seed)
    labels[0] = 1  # at least one counts
    predicted = logits.argmax(dim=1)
    kept = labels != 0
    losses = []
    for c in labels[kept].unique():
        hit, answer = (labels == c)[kept], (predicted == c)[kept]
        losses.append(1 - float((hit & answer).sum() / (hit | answer).sum()))
    certain = torch.nn.functional.one_hot(predicted, classes).double()
    assert lovasz_softmax(certain, labels).item() == pytest.approx(sum(losses) / len(losses))


@settings(max_examples=25, deadline=None)
@given(points=st.integers(1, 30), classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_ignored_points_and_the_order_of_points_do_not_matter(points: int, classes: int, seed: int) -> None:
    logits, labels = invent(points, classes, seed)
    loss = segmentation_loss(logits, labels).item()
    order = torch.randperm(points, generator=torch.Generator().manual_seed(seed))
    assert segmentation_loss(logits[order], labels[order]).item() == pytest.approx(loss)
    changed = torch.where((labels == 0)[:, None], -logits, logits)
    assert segmentation_loss(changed, labels).item() == pytest.approx(loss)


@pytest.mark.parametrize("points", [0, 5])
def test_without_labelled_points_loss_and_gradient_are_zero(points: int) -> None:
    logits = torch.randn(points, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(points, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_gradient_is_right() -> None:
    logits, labels = invent(12, 5, seed=3)
    assert torch.autograd.gradcheck(lambda x: segmentation_loss(x, labels), logits.requires_grad_())


def test_gradients_keep_their_digits_for_many_points() -> None:
    # With one class alone every step is 1 / P, a difference of Jaccard losses near 1: in float32 it is off by 1 %.
    points = 200_000
    probabilities = torch.rand(points, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    lovasz_softmax(probabilities, torch.ones(points, dtype=torch.int64)).backward()
    assert probabilities.grad is not None
    torch.testing.assert_close(probabilities.grad[:, 1], torch.full((points,), -1 / points), rtol=1e-5, atol=0)


def test_single_and_double_precision_agree_also_where_errors_are_equal() -> None:
    """They are sorted by different means; equal errors must keep the order of points in both."""
    generator = torch.Generator().manual_seed(4)
    eighths = torch.randint(0, 9, (300, 5), generator=generator)
    labels = torch.randint(0, 5, (300,), generator=generator)
    found = []
    for dtype in (torch.float32, torch.float64):
        probabilities = (eighths / 8).to(dtype).requires_grad_()
        loss = lovasz_softmax(probabilities, labels)
        loss.backward()
        assert probabilities.grad is not None
        found.append((loss.item(), probabilities.grad.double()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-9)


def test_descending_the_loss_learns_the_labels() -> None:
    logits, labels = invent(50, 4, seed=5)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        segmentation_loss(logits, labels).backward()
        optimizer.step()
    kept = labels != 0
    assert torch.equal(logits.argmax(dim=1)[kept], labels[kept])
