from __future__ import annotations

import pytest

from cmcr.errors import ScoresError
from cmcr.report.origin import held_out_table, jobs_of, origin_of
from cmcr.results.held_out import HeldOut

from .conftest import PROVENANCE, make_scores


def test_jobs_are_added_up_and_differences_counted() -> None:
    dirty = PROVENANCE.model_copy(update={"dirty": True, "wall_time_s": 5400.0, "peak_memory_mb": 900.0})
    origin = origin_of([PROVENANCE, dirty, PROVENANCE])
    assert origin.jobs == 3
    assert origin.commits == [("0123abcd", 2), ("0123abcd, with changes that were not committed", 1)]
    assert origin.hours == pytest.approx(2.5)
    assert origin.peak_memory_mb == 900.0
    assert origin.machines == [("some <b>processor</b>, 2 cores, 1 of them used by a job, no GPU, Linux", 3)]


def test_without_jobs_there_is_nothing_to_say() -> None:
    assert origin_of([]).jobs == 0


def test_each_job_has_its_number_and_its_logs() -> None:
    scores = {
        "finetune/town/segmentation/town/b/finetune/10pct/seed1/scores.json": make_scores("b", 1, None),
        "finetune/town/segmentation/none/scratch/finetune/10pct/seed0/scores.json": make_scores("scratch", 0, -0.001),
        "finetune/town/segmentation/town/b/finetune/10pct/seed0/scores.json": make_scores("b", 0, 12.345),
    }
    jobs = jobs_of(scores, {"scratch": "Scratch", "b": "The other"})
    assert [(job.method, job.seed, job.metric, job.value) for job in jobs] == [
        ("Scratch", 0, "mIoU", "0.00"),
        ("The other", 0, "mIoU", "12.35"),
        ("The other", 1, "mIoU", "n/a (it <i>diverged</i>)"),
    ]
    assert dict(jobs[1].links) == {
        "log": "logs/finetune/town/segmentation/town/b/finetune/10pct/seed0.log",
        "scores": "finetune/town/segmentation/town/b/finetune/10pct/seed0/scores.json",
        "pre-training's log": "logs/pretrain/town/minkunet/b/seed0.log",
    }


def held_out(method: str, seed: int, scans: int = 3, **measures: float | None) -> HeldOut:
    return HeldOut(
        dataset="town",
        split="val",
        method=method,
        seed=seed,
        toy=True,
        num_scans=scans,
        measures=measures,
        provenance=PROVENANCE,
    )


def test_held_out_measures_are_taken_over_the_seeds() -> None:
    records = [
        held_out("b", 0, occupancy_accuracy=0.5, distinct_points=None),
        held_out("b", 1, occupancy_accuracy=0.7, distinct_points=None),
        held_out("a", 0, error_inside_masks=0.25),
    ]
    table = held_out_table(records, {"scratch": "Scratch", "a": "A", "b": "B"})
    assert [column.key for column in table.columns] == ["error_inside_masks", "occupancy_accuracy"]
    assert [row.label for row in table.rows] == ["A", "B"]
    assert table.rows[1].cells[1].mean == pytest.approx(0.6)
    assert table.rows[1].cells[0].reason == "not part of this row"
    assert table.caption.startswith("Held-out measures on toy data: 3 scans of split val of town, mean and sample")


def test_measures_of_different_scans_do_not_share_a_table() -> None:
    records = [held_out("a", 0, occupancy_accuracy=0.5), held_out("b", 0, scans=4, occupancy_accuracy=0.5)]
    with pytest.raises(ScoresError, match="num_scans"):
        held_out_table(records, {})
