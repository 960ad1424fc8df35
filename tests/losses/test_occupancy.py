"""Occupancy and intensity losses equal the equation, query by query and point by point."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from cmcr.data.occupancy_queries import OccupancyQueries, OccupancyQueryOptions, draw_occupancy_queries
from cmcr.losses import occupancy
from cmcr.losses.occupancy import Meetings, OccupancyOptions, estimate_occupancy, meet, occupancy_losses
from cmcr.models.occupancy_head import OccupancyHead, OccupancyHeadOptions

OPTIONS = OccupancyOptions(queries=OccupancyQueryOptions(per_scan=30), radius_m=1.5, head=OccupancyHeadOptions(width=6))


def scene(points: int = 60, scans: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return points, their scans, their voxels (two or so points each) and the voxels' features."""
    generator = torch.Generator().manual_seed(seed)
    box, corner = torch.tensor([6.0, 6, 2, 1]), torch.tensor([-3.0, -3, -1, 0])
    points_P4 = torch.rand(points, 4, generator=generator) * box + corner
    scan_P = torch.arange(points) * scans // points
    voxel_P = torch.arange(points) // 2
    features = torch.randn(points // 2 + 1, 4, generator=generator)
    return points_P4.double(), scan_P, voxel_P, features.double()


def head_of(options: OccupancyOptions = OPTIONS, channels: int = 4) -> OccupancyHead:
    torch.manual_seed(1)
    return OccupancyHead(channels, options.head).double()


def draw(points: Tensor, scan: Tensor, options: OccupancyOptions = OPTIONS) -> OccupancyQueries:
    return draw_occupancy_queries(points, scan, options.queries, torch.Generator().manual_seed(2))


def plain(head: OccupancyHead, feature: Tensor, offset: Tensor) -> tuple[float, float]:
    hidden = torch.cat([feature, offset])
    for layer in (head.first, head.second, head.third):
        hidden = (layer.weight @ hidden + layer.bias).clamp(min=0)
    logit, intensity = (head.output.weight @ hidden + head.output.bias).tolist()
    return logit, intensity


def slow_losses(
    head: OccupancyHead, features: Tensor, points: Tensor, scan: Tensor, voxel: Tensor, queries: OccupancyQueries
) -> tuple[float, float, list[list[float]]]:
    """Straight from the equations; also the logits that each query gets."""
    occupancy, intensity = [], []
    logits: list[list[float]] = [[] for _ in range(len(queries))]
    for q in range(len(queries)):
        for p in range(len(points)):
            offset = queries.position_Q3[q] - points[p, :3]
            own = points[p, :3].norm() < OPTIONS.queries.min_range_m
            if scan[p] != queries.scan_Q[q] or own or offset.norm() > OPTIONS.radius_m:
                continue
            logit, answer = plain(head, features[voxel[p]], offset)
            sign = 1 if queries.occupied_Q[q] else -1
            occupancy.append(-math.log(1 / (1 + math.exp(-sign * logit))))
            logits[q].append(logit)
            if queries.near_Q[q]:
                intensity.append(abs(answer - float(points[queries.return_Q[q], 3])))
    return sum(occupancy) / len(occupancy), sum(intensity) / len(intensity), logits


@pytest.mark.parametrize("at_once", [7, 2**16])
def test_equals_the_equation(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "AT_ONCE", at_once)
    points, scan, voxel, features = scene()
    head, queries = head_of(), draw(points, scan)
    meetings = meet(queries, points, scan, voxel, OPTIONS)
    losses = occupancy_losses(head, features, meetings)
    slow_occupancy, slow_intensity, logits = slow_losses(head, features, points, scan, voxel, queries)
    assert losses["occupancy"].item() == pytest.approx(slow_occupancy)
    assert losses["intensity"].item() == pytest.approx(slow_intensity)
    estimate = estimate_occupancy(head, features, meetings)
    for ours, theirs in zip(estimate[:, 0].tolist(), logits, strict=True):
        assert ours == pytest.approx(sum(theirs) / len(theirs) if theirs else math.nan, nan_ok=True)
    assert estimate.shape == (len(queries), 2)


def test_a_single_meeting_equals_the_equation() -> None:
    points, scan, voxel, features = scene(points=2, scans=2)
    points[:, :3] = torch.tensor([[2.0, 0, 0], [0, 2.0, 0]])
    head = head_of()
    queries = OccupancyQueries(
        position_Q3=torch.tensor([[2.3, 0.1, 0]]).double(),
        scan_Q=torch.tensor([0]),
        return_Q=torch.tensor([0]),
        occupied_Q=torch.tensor([True]),
        near_Q=torch.tensor([True]),
    )
    losses = occupancy_losses(head, features, meet(queries, points, scan, voxel, OPTIONS))
    slow_occupancy, slow_intensity, _ = slow_losses(head, features, points, scan, voxel, queries)
    assert losses["occupancy"].item() == pytest.approx(slow_occupancy)
    assert losses["intensity"].item() == pytest.approx(slow_intensity)


def test_a_query_meets_no_more_points_than_it_may() -> None:
    points, scan, voxel, _ = scene()
    queries = draw(points, scan)
    every, some = (
        meet(queries, points, scan, voxel, OPTIONS.model_copy(update={"max_neighbours": most})) for most in (None, 3)
    )
    counts = every.query_M.bincount(minlength=len(queries))
    assert counts.max() > 3
    assert torch.equal(some.query_M.bincount(minlength=len(queries)), counts.clamp(max=3))
    pairs = [set(zip(m.query_M.tolist(), m.point_M.tolist(), strict=True)) for m in (every, some)]
    assert pairs[1] < pairs[0]


def test_answers_are_summed_in_single_precision_at_least() -> None:
    points, scan, voxel, features = scene()
    single = points.float()
    meetings = meet(draw(single, scan), single, scan, voxel, OPTIONS)
    head = head_of().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        projected = head.project(features.float())
        assert projected.dtype == torch.bfloat16
        assert meetings.ask(head, projected).dtype == torch.float32


def test_some_queries_are_answered_as_among_all() -> None:
    points, scan, voxel, features = scene()
    head, queries = head_of(), draw(points, scan)
    meetings = meet(queries, points, scan, voxel, OPTIONS)
    every, some = (estimate_occupancy(head, features, m) for m in (meetings, meetings.of_every(4)))
    torch.testing.assert_close(some[::4], every[::4], equal_nan=True)
    assert some[torch.arange(len(queries)) % 4 != 0].isnan().all()


def test_gradients_are_exact_and_do_not_depend_on_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points, scan, voxel, features = scene(points=14)
    head, meetings = head_of(), meet(draw(points, scan), points, scan, voxel, OPTIONS)
    assert len(meetings) > 20
    features.requires_grad_()

    def total(features: Tensor) -> Tensor:
        return sum(occupancy_losses(head, features, meetings).values(), torch.zeros(()))

    gradients = []
    for at_once in (2**16, 9):
        monkeypatch.setattr(occupancy, "AT_ONCE", at_once)
        assert torch.autograd.gradcheck(total, features)
        gradients.append(torch.autograd.grad(total(features), [features, *head.parameters()]))
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole)


def test_no_point_of_another_scan_is_asked() -> None:
    points, scan, voxel, features = scene()
    meetings = meet(draw(points, scan), points, scan, voxel, OPTIONS)
    assert torch.equal(scan[meetings.point_M], meetings.queries.scan_Q[meetings.query_M])
    features.requires_grad_()
    logits = meetings.ask(head_of(), head_of().project(features))[:, 0]
    logits[meetings.queries.scan_Q[meetings.query_M] == 0].sum().backward()
    assert features.grad is not None
    assert features.grad[voxel[scan == 0].unique()].any()
    assert not features.grad[voxel[scan == 1].min() :].any()


def test_without_any_meeting_both_are_zero_and_so_are_the_gradients() -> None:
    points, scan, voxel, features = scene()
    far = OPTIONS.model_copy(update={"queries": OccupancyQueryOptions(min_range_m=500)})
    head, meetings = head_of(), meet(draw(points, scan, far), points, scan, voxel, far)
    assert len(meetings) == 0
    losses = occupancy_losses(head, features.requires_grad_(), meetings)
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values(), torch.zeros(())).backward()
    for weights in (features, *head.parameters()):
        assert weights.grad is not None
        assert not weights.grad.any()


def test_queries_in_empty_space_meet_nobody() -> None:
    points = torch.tensor([[20.0, 0, 0, 0.5]])
    scan = torch.zeros(1).long()
    meetings = meet(draw(points, scan), points, scan, scan, OPTIONS)
    estimate = estimate_occupancy(head_of().float(), torch.zeros(1, 4), meetings)
    far = meetings.queries.position_Q3[:, 0] < 20 - OPTIONS.radius_m
    assert torch.equal(torch.isnan(estimate[:, 0]), far)


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_meetings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "AT_ONCE", 64)
    points, scan, voxel, features = scene(points=400)
    head, queries = head_of(), draw(points, scan)

    def kept(meetings: Meetings) -> int:
        seen: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            seen[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            occupancy_losses(head, features.requires_grad_(), meetings)
        return sum(seen.values())

    few = meet(queries, points, scan, voxel, OPTIONS)
    many = meet(queries, points, scan, voxel, OPTIONS.model_copy(update={"radius_m": 6.0}))
    assert len(many) > 5 * len(few) > 5 * 64
    # Two numbers for each part of 64 meetings; keeping the hidden layers would take 3 * 6 for each meeting.
    assert kept(many) - kept(few) < 0.1 * (len(many) - len(few))


def test_training_lowers_both() -> None:
    points, scan, voxel, features = scene(seed=3)
    head, meetings = head_of(), meet(draw(points, scan), points, scan, voxel, OPTIONS)
    features.requires_grad_()
    optimizer = torch.optim.Adam([features, *head.parameters()], lr=0.02)
    history = []
    for _ in range(60):
        losses = occupancy_losses(head, features, meetings)
        optimizer.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        optimizer.step()
        history.append([loss.item() for loss in losses.values()])
    assert history[-1][0] < 0.9 * history[0][0]
    assert history[-1][1] < 0.7 * history[0][1]


@pytest.mark.parametrize(("option", "value"), [("radius_m", 0.0), ("max_neighbours", 0)])
def test_bad_options_are_named(option: str, value: float) -> None:
    with pytest.raises(ValidationError) as error:
        OccupancyOptions(**{option: value})
    assert error.value.errors()[0]["loc"] == (option,)
