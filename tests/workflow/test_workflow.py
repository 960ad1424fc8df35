"""Whole runs: everything is made once, and again where something changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .conftest import Workflow, planned
from .tiny import TINY_KITTI, with_change, with_waymo

pytestmark = pytest.mark.slow


def test_everything_is_made_and_a_second_call_does_nothing(finished: Workflow) -> None:
    results = finished.results
    assert {path.name for path in (results / "tables").iterdir()} == {
        f"{name}.{suffix}"
        for name in ("segmentation", "segmentation_per_class", "diagnostics", "gains", "cost")
        for suffix in ("csv", "md", "tex")
    }
    assert "Diagnostics on toy data" in (results / "tables" / "diagnostics.md").read_text()
    assert "not pre-trained here" in (results / "tables" / "cost.md").read_text()
    assert "Cost on toy data" in (results / "tables" / "cost.md").read_text()
    assert (results / "figures" / "features_toy_nuscenes_ppkt.png").stat().st_size > 10_000
    assert (results / "figures" / "losses_toy_nuscenes_ppkt.svg").is_file()
    assert "toy" in (results / "tables" / "segmentation.md").read_text()
    assert finished.temporary_files() == []
    assert "Nothing to be done" in finished.run("all_tables", "all_figures")


def test_pre_training_and_fine_tuning_on_a_toy_semantic_kitti(workflow: Workflow) -> None:
    workflow.configure(TINY_KITTI)
    workflow.run("all_tables")
    table = (workflow.results / "tables" / "segmentation.md").read_text()
    assert "PPKT" in table
    assert "split mini\\_val, 4 frames" in table
    # Nothing is left to do; a smaller city is made again and leaves nothing of the larger one.
    assert planned(workflow.run("-n", "all_tables")) == []
    smaller = copy.deepcopy(TINY_KITTI)
    smaller["datasets"]["toy_kitti"]["toy"]["keyframes"] = 3
    workflow.configure(smaller)
    workflow.run("results/tiny/index/toy_kitti/train.jsonl")
    assert len(list((workflow.folder / "results/tiny/data/toy_kitti/sequences/00/velodyne").iterdir())) == 3


def test_a_change_of_the_config_re_runs_what_depends_on_it_alone(copied: Workflow) -> None:
    copied.configure(with_change(lambda config: config["methods"]["ppkt"].update(options={"num_pairs": 32})))
    jobs = planned(copied.run("-n", "all_tables"))
    assert any("Pre-train ppkt" in job for job in jobs)
    assert any("ppkt, linear_probe" in job for job in jobs)
    assert [job for job in jobs if "scratch" in job] == ["Write the table of gains over scratch"]
    assert not any("toy city" in job or "teacher" in job for job in jobs)

    probe = ("tasks", "segmentation", "toy_nuscenes", "linear_probe", "recipe")

    def more_epochs(config: dict[str, Any]) -> None:
        group = config
        for name in probe:
            group = group[name]
        group["epochs"] = 3

    copied.configure(with_change(more_epochs))
    jobs = planned(copied.run("-n", "all_tables"))
    assert sum("linear_probe" in job for job in jobs) == 2
    assert not any("Pre-train" in job or ", finetune" in job or "Diagnose" in job for job in jobs)

    copied.configure(with_change(lambda config: config["diagnostics"].update(scans=1)))
    jobs = planned(copied.run("-n", "all_tables"))
    assert sorted(jobs) == [
        "Diagnose what ppkt learned, seed 0",
        "Diagnose what scratch learned, seed 0",
        "Write the table of diagnostics",
    ]


def test_a_failed_job_shows_its_error_and_leaves_nothing_half_made(copied: Workflow) -> None:
    sweep = next((copied.folder / "results/tiny/data/toy_nuscenes/samples/LIDAR_TOP").iterdir())
    sweep.write_bytes(sweep.read_bytes()[:-7])
    # The data changed behind the index; whatever reads the sweep again has to say so.
    copied.configure(with_change(lambda config: config["pretrain"]["recipe"].update(epochs=3)))
    output = copied.run("all_tables", fails=True)
    assert str(sweep.relative_to(copied.folder)) in output
    assert "expected: a sweep of" in output
    assert "Traceback" not in output
    assert copied.temporary_files() == []


def test_a_run_has_a_page_and_snakemakes_own_report(copied: Workflow) -> None:
    results = copied.results
    # What an earlier config left behind is not on the page.
    (results / "tables" / "left_behind.md").write_text("A table that nobody asked for.\n\n| a |\n| --- |\n| 1 |\n")
    copied.run("report")
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Segmentation on toy data: mIoU in percent" in page
    assert "Losses: PPKT on toy_nuscenes" in page
    assert "nobody asked for" not in page
    assert planned(copied.run("-n", "report")) == []

    copied.run("report", "--report", "results/tiny/snakemake_report.html")
    theirs = (results / "snakemake_report.html").read_text(encoding="utf-8")
    for category in ("Tables", "Comparison", "Pre-training", "Scans"):
        assert f'"{category}"' in theirs
    assert (results / "report.html").read_text(encoding="utf-8") == page


def test_without_waymos_environment_a_toy_waymo_is_left_out_and_its_columns_say_so(
    copied: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMCR_WAYMO_PYTHON", str(copied.folder / "none"))
    copied.configure(with_change(with_waymo))
    copied.run("all_tables")
    table = (copied.folder / "results/tiny/tables/segmentation.md").read_text()
    assert "toy\\_waymo: n/a (make waymo-env)" in table
    assert "n/a: (a) make waymo-env." in table
