from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmcr.errors import ScoresError
from cmcr.results.frames import FrameCounts, FramesRecord, read_frames, write_frames
from cmcr.results.gains import gains_table
from cmcr.results.summary import MEAN_METRICS
from cmcr.results.table_text import to_csv, to_latex, to_markdown

REASONS = {"segmentation": {"slidr": "has no images"}}
METHODS = {"scratch": "Scratch", "ppkt": "PPKT", "slidr": "SLidR"}


def frames(method: str, right: float, seed: int = 0, scans: int = 30, task: str = "segmentation", **changes) -> FrameCounts:  # type: ignore[no-untyped-def]
    """One class beside the ignored one, ten labelled points a scan, of which a share is right and none is made up."""
    run = {
        **{"task": task, "dataset": "town", "pretrain_dataset": "none" if method == "scratch" else "town"},
        **{"method": method, "protocol": "finetune", "label_percent": 10, "seed": seed, "toy": True},
        **{"split": "val", "index_checksum": "a"},
    }
    if task == "detection":
        return FrameCounts(FramesRecord(**{**run, **changes}), np.array([[right]]))
    hits = np.random.default_rng(seed).binomial(10, right, scans)
    counts = np.zeros((scans, 6))
    counts[:, 1], counts[:, 3], counts[:, 5] = hits, 10, hits
    return FrameCounts(FramesRecord(**{**run, **changes}), counts)


def test_a_gain_is_bold_where_its_interval_leaves_out_zero() -> None:
    runs = [frames(m, right, seed) for m, right in (("scratch", 0.5), ("ppkt", 0.8)) for seed in range(3)]
    runs += [frames("slidr", 0.5, seed + 7) for seed in range(3)]
    for number, run in enumerate(runs[-3:]):
        runs[6 + number] = FrameCounts(run.record.model_copy(update={"seed": number}), run.counts_FK)
    table = gains_table(runs, "scratch", METHODS)
    (ppkt,), (slidr,) = (row.cells for row in table.rows)
    assert ppkt.mean == pytest.approx(30, abs=3)
    assert ppkt.interval[0] < ppkt.mean < ppkt.interval[1]
    assert ppkt.is_sure
    assert not slidr.is_sure
    text = to_markdown(table)
    assert f"**{ppkt.mean:+.1f}** \\[{ppkt.interval[0]:.1f}, {ppkt.interval[1]:.1f}\\]" in text
    assert f"**{slidr.mean:+.1f}**" not in text
    assert rf"\textbf{{{ppkt.mean:+.1f}}} {{[}}" in to_latex(table)
    header, first = to_csv([table]).splitlines()[:2]
    assert header == "method,baseline," + ",".join(
        f"segmentation/town/finetune/10pct/{part}" for part in ("mean", "low", "high", "n")
    )
    assert first.startswith("ppkt,scratch,")


def test_only_seeds_that_both_have_are_paired() -> None:
    runs = [frames("scratch", 0.5, 0), frames("scratch", 0.9, 1), frames("ppkt", 0.7, 0)]
    ((cell,), *_) = (row.cells for row in gains_table(runs, "scratch", METHODS).rows)
    assert cell.runs == 1
    assert cell.mean == pytest.approx(20, abs=6)


def test_what_is_no_sum_over_scans_has_an_interval_from_three_seeds_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEAN_METRICS, "detection", ("ap",))
    values = {"scratch": (50.0, 51.0, 49.0), "ppkt": (55.0, 56.0, 58.0)}
    runs = [frames(m, v, seed, task="detection") for m, of in values.items() for seed, v in enumerate(of)]
    ((three,), *_) = (row.cells for row in gains_table(runs, "scratch", METHODS).rows)
    assert three.mean == pytest.approx(19 / 3)
    assert three.interval == pytest.approx((5.0, 9.0), abs=1)
    ((two,), *_) = (row.cells for row in gains_table([r for r in runs if r.record.seed < 2], "scratch", METHODS).rows)
    assert (two.mean, two.interval, two.is_sure) == (5.0, None, False)


def test_a_method_without_a_run_says_why() -> None:
    table = gains_table([frames("scratch", 0.5), frames("ppkt", 0.5)], "scratch", METHODS, REASONS)
    assert table.rows[1].cells[0].reason == "has no images"


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([frames("ppkt", 0.5)], "no run of the baseline scratch"),
        ([frames("scratch", 0.5), frames("ppkt", 0.5, index_checksum="b")], "must not share a table"),
        ([frames("scratch", 0.5), frames("ppkt", 0.5, scans=29)], "must not share a table"),
        ([frames("scratch", 0.5), frames("scratch", 0.5)], "statistics of one run twice: segmentation, town, scratch"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs: list[FrameCounts], message: str) -> None:
    with pytest.raises(ScoresError, match=message):
        gains_table(runs, "scratch", METHODS)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = frames("ppkt", 0.5)
    write_frames(tmp_path / "frames.safetensors", written)
    read = read_frames(tmp_path / "frames.safetensors")
    assert read.record == written.record
    assert np.array_equal(read.counts_FK, written.counts_FK)


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all"])
def test_a_damaged_file_is_refused_with_its_path(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "frames.safetensors"
    path.write_bytes(damage)
    with pytest.raises(ScoresError, match="frames.safetensors: damaged"):
        read_frames(path)


def test_weights_are_no_statistics(tmp_path: Path) -> None:
    import torch

    from cmcr.checkpoints import save_tensors

    save_tensors(tmp_path / "frames.safetensors", {"counts": torch.zeros(2, 3)})
    with pytest.raises(ScoresError, match="expected: statistics of validation scans"):
        read_frames(tmp_path / "frames.safetensors")
