from __future__ import annotations

import math

import pytest
import torch

from cmcr.evaluation.occupancy import OccupancyAccuracy


def test_by_hand_over_two_scans() -> None:
    score = OccupancyAccuracy()
    score.update(torch.tensor([2.0, -1.0, 0.0, math.nan, 4.0]), torch.tensor([True, True, True, True, False]))
    score.update(torch.tensor([-3.0, 0.5, 0.0, -0.1, math.nan]), torch.tensor([False, False, False, False, True]))
    assert (score.occupied, score.empty, score.right, score.unanswered) == (3, 5, 3, 2)
    assert score.accuracy == 3 / 8
    assert score.majority == 5 / 8


def test_a_constant_answer_scores_no_more_than_the_majority() -> None:
    occupied = torch.rand(500, generator=torch.Generator().manual_seed(0)) < 1 / 3
    scores = []
    for answer in (1.0, -1.0):
        score = OccupancyAccuracy()
        score.update(torch.full((500,), answer), occupied)
        scores.append(score.accuracy)
    assert max(scores) == score.majority
    assert sum(scores) == pytest.approx(1)


def test_without_answers_there_is_no_score() -> None:
    score = OccupancyAccuracy()
    score.update(torch.full((3,), math.nan), torch.ones(3, dtype=torch.bool))
    assert math.isnan(score.accuracy)
    assert math.isnan(score.majority)
    assert score.unanswered == 3


@pytest.mark.parametrize("occupied", [(3,), (3, 1)])
def test_other_shapes_are_refused(occupied: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one logit per query"):
        OccupancyAccuracy().update(torch.zeros(3, 1), torch.ones(occupied, dtype=torch.bool))
