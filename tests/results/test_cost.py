from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from invented import TINY, VOXELS

from baselines.ppkt import PPKT
from cmcr.cli import main
from cmcr.errors import DataError, ScoresError
from cmcr.models.backbone import BackboneRecord, make_backbone, save_backbone
from cmcr.pretrain.learned import METHOD_FILE, save_method
from cmcr.pretrain.method import Channels
from cmcr.results.cost import (
    INTERRUPTED,
    NOT_TIMED,
    MethodCost,
    PretrainCost,
    Timing,
    cost_table,
    read_benchmark,
    read_timing,
)
from cmcr.results.scores import Scores, write_scores
from cmcr.results.table_text import to_csv, to_markdown

ROOT = Path(__file__).resolve().parents[2]
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(path: Path, wall: float, memory: float, cpu: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{wall}\t0:00:00\t{memory}\t1\t1\t1\t1\t1\t1\t{cpu}\n")
    return path


def cells(
    costs: dict[str, MethodCost], runs: list[Scores], device: str = "cpu", devices: int = 1
) -> dict[str, dict[str, str]]:
    table = cost_table(costs, runs, device, devices)
    return {row["method"]: row for row in csv.DictReader(io.StringIO(to_csv([table])))}


def test_a_benchmark_is_read_with_its_units(tmp_path: Path) -> None:
    assert read_benchmark(benchmark(tmp_path / "b.tsv", 3600, 1000, 1800)) == Timing(3600, 1800, 1048.576)


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "NA\t" * 10 + "\n", "s\tmax_rss\n1\t2\n"])
def test_another_file_is_no_benchmark(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"b.tsv\n  expected: a table with the columns s, max_rss, cpu_time"):
        read_benchmark(path)
    assert read_timing(path, 1) == NOT_TIMED
    with pytest.raises(DataError, match="no file"):
        read_benchmark(tmp_path / "none.tsv")


def test_a_resumed_job_has_no_time_rather_than_a_part_of_it(tmp_path: Path) -> None:
    path = benchmark(tmp_path / "b.tsv", 1, 1, 1)
    assert isinstance(read_timing(path, 1), Timing)
    assert read_timing(path, 2) == INTERRUPTED


def test_costs_are_means_over_seeds_of_sums_over_jobs(make_run: Callable[..., Scores]) -> None:
    hour, two = Timing(3600, 1800, 500), Timing(7200, 5400, 1500)
    costs = {
        "scratch": MethodCost("Scratch", False, {0: PretrainCost(hour, 0, 2_000_000, None)}, {0: [hour, two]}),
        "ppkt": MethodCost(
            "PPKT",
            True,
            {0: PretrainCost(hour, 36_000, 2_000_000, 500_000), 1: PretrainCost(two, 36_000, 2_000_000, 500_000)},
            {0: [hour, two], 1: [hour, INTERRUPTED]},
        ),
        "cmcr": MethodCost("CMCR", True, {0: PretrainCost(NOT_TIMED, 1, 2_000_000, 0)}, {0: [NOT_TIMED]}),
    }
    found = cells(costs, [make_run()])
    ppkt = found["ppkt"]
    assert float(ppkt["pretrain/hours/mean"]) == 1.0  # processor time: 0.5 h and 1.5 h
    assert float(ppkt["pretrain/wall_hours/mean"]) == 1.5
    assert float(ppkt["pretrain/scans_per_second/mean"]) == 7.5  # 10 and 5
    assert float(ppkt["pretrain/peak_memory_gb/mean"]) == 1.0
    # The second seed was interrupted, and so is left out as a whole.
    assert (float(ppkt["finetune/hours/mean"]), ppkt["finetune/hours/n"]) == (2.0, "1")
    assert float(ppkt["finetune/peak_memory_gb/mean"]) == 1.5
    assert (float(ppkt["parameters/backbone/mean"]), float(ppkt["parameters/method/mean"])) == (2.0, 0.5)
    assert found["scratch"]["pretrain/hours/mean"] == "n/a"
    assert float(found["scratch"]["finetune/hours/mean"]) == 2.0
    # On a GPU, the hours are those for which a job holds it.
    assert float(cells(costs, [make_run()], "cuda")["ppkt"]["pretrain/hours/mean"]) == 1.5
    assert float(cells(costs, [make_run()], "cuda", 4)["ppkt"]["pretrain/hours/mean"]) == 6.0
    text = to_markdown(cost_table(costs, [make_run()], "cpu"))
    assert "(a) not pre-trained here; (b) not timed" in text
    assert "Cost on toy data" in text
    assert "some processor, 2 cores, 1 thread" in text
    with pytest.raises(ScoresError, match="no methods"):
        cost_table({}, [], "cpu")


def test_the_command_reads_what_jobs_leave_behind(tmp_path: Path, make_run: Callable[..., Scores]) -> None:
    torch.manual_seed(0)
    backbone, folder = make_backbone(TINY), tmp_path / "ppkt" / "seed0"
    record = BackboneRecord(
        method="ppkt", dataset="town", seed=0, backbone=TINY, voxels=VOXELS, data_checksum="", config_hash=""
    )
    save_backbone(folder / "backbone.safetensors", backbone, record)
    method = PPKT(PPKT.Options(channels=8), Channels(backbone.out_channels, 6))
    save_method(folder / METHOD_FILE, method)
    (folder / "metrics.csv").write_text("step,epoch,lr,loss\n1,0,1,1\n30,1,1,1\n")
    (folder / "events.out.tfevents.1").touch()
    write_scores(tmp_path / "run" / "scores.json", make_run())
    files = {
        "method": "ppkt",
        "network": "minkunet",
        "label": "PPKT",
        "compared": True,
        "plugin": str(ROOT / "baselines" / "ppkt.py"),
        "trained": True,
        "batch_size": 4,
        "weights": {0: str(folder / "backbone.safetensors")},
        "pretrain": {0: str(benchmark(tmp_path / "p.tsv", 60, 100, 30))},
        "finetune": {0: {str(tmp_path / "run" / "scores.json"): str(benchmark(tmp_path / "f.tsv", 10, 100, 36))}},
    }

    def made() -> dict[str, str]:
        arguments = ["--methods", json.dumps({"ppkt": files}), "--device", "cpu", "--folder", str(tmp_path), "--figures", str(tmp_path)]
        assert main(["cost-table", *arguments]) == 0
        with (tmp_path / "cost.csv").open() as file:
            return next(csv.DictReader(file))

    row = made()
    assert float(row["pretrain/scans_per_second/mean"]) == 2.0  # 30 steps of 4 scans in 60 s
    assert float(row["finetune/hours/mean"]) == 0.01
    # PPKT's heads: a matrix and a bias for points (8 channels) and for pixels (6 channels), 8 channels wide each.
    assert round(float(row["parameters/method/mean"]) * 1e6) == 8 * 8 + 8 + 6 * 8 + 8
    assert float(row["parameters/backbone/mean"]) * 1e6 == pytest.approx(sum(p.numel() for p in backbone.parameters()))
    # A second start: the time of the last one alone would be too short.
    (folder / "events.out.tfevents.2").touch()
    assert made()["pretrain/hours/mean"] == "n/a"
    assert f"(a) {INTERRUPTED}" in (tmp_path / "cost.md").read_text()
