"""A run's folder, invented: scores, tables and figures as the workflow leaves them, with names that mean harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from cmcr.report.card import MethodEntry, RunCard, write_card
from cmcr.results.collect import scores_table
from cmcr.results.held_out import HeldOut, write_held_out
from cmcr.results.scores import Hardware, Metric, Provenance, Scores, write_scores
from cmcr.results.style import write_figure
from cmcr.results.table_text import write_tables
from cmcr.results.tables import task_table

#: Every one of these would run or load something if it reached the page as it is.
HARM = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "[a](javascript:alert(3)) ![b](http://example.org/b.png)",
    "`</table>` | </style> {{ 7 * 7 }} </script>",
)
LABELS = {"scratch": "Scratch", **{f"harm{i}": label for i, label in enumerate(HARM)}}
PROVENANCE = Provenance(
    config_hash="c0ffee",
    data_checksum="beef",
    git_commit="0123abcd",
    dirty=False,
    packages={"torch": "2.13.0"},
    hardware=Hardware(cpu="some <b>processor</b>", cores=2, threads=1, gpu="none", platform="Linux"),
    wall_time_s=1800.0,
    peak_memory_mb=300.0,
)


def make_scores(method: str, seed: int, miou: float | None) -> Scores:
    reason = None if miou is not None else "it <i>diverged</i>"
    return Scores(
        task="segmentation",
        dataset="town",
        split="val",
        num_frames=12,
        pretrain_dataset="none" if method == "scratch" else "town",
        method=method,
        protocol="finetune",
        label_percent=10,
        label_scans=4,
        seed=seed,
        toy=True,
        metrics=[Metric(metric="miou", class_name="all", value=miou, higher_is_better=True, reason=reason)],
        provenance=PROVENANCE,
    )


@pytest.fixture
def card() -> RunCard:
    return RunCard(
        run_name="trial",
        toy=True,
        seeds=[0, 1],
        datasets=["town"],
        methods=[
            MethodEntry(id=id, label=label, paper="none", code="", ablation_of=None, why_not=None)
            for id, label in LABELS.items()
        ],
        config="run_name: trial\nroot: </pre><script>alert(4)</script>\n",
    )


@pytest.fixture
def run_folder(tmp_path: Path, card: RunCard) -> Path:
    folder = tmp_path / "results" / "trial"
    write_card(folder / "run.json", card)
    runs = {}
    for place, method in enumerate(LABELS):
        for seed in card.seeds:
            scores = make_scores(method, seed, None if method == "harm1" else 10.0 * place + seed)
            where = (
                f"finetune/town/segmentation/{scores.pretrain_dataset}/{method}/finetune/10pct/seed{seed}/scores.json"
            )
            write_scores(folder / where, scores)
            runs[where] = scores
    write_tables(folder / "tables", "segmentation", [task_table(scores_table(runs), "segmentation", "miou", LABELS)])
    for seed in card.seeds:
        held_out = HeldOut(
            dataset="town",
            split="val",
            method="harm0",
            seed=seed,
            toy=True,
            num_scans=3,
            measures={"occupancy_accuracy": 0.5 + 0.25 * seed},
            provenance=PROVENANCE,
        )
        write_held_out(folder / f"pretrain/town/minkunet/harm0/seed{seed}/held_out.json", held_out)
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0, 1])
    write_figure(folder / "figures", "losses_town_harm0", figure)
    Image.new("RGB", (640, 320), "navy").save(folder / "figures" / "features_town_scratch.png")
    (folder / "figures" / "features_town_scratch.txt").write_text("no figure")
    (folder / "tables" / "notes.json").write_text(json.dumps("no table"))
    return folder
