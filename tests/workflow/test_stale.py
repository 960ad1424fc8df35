"""An edit of the code re-runs what depends on it, and nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .conftest import ROOT, Workflow

pytestmark = pytest.mark.slow

_CHECKOUT = (
    "Snakefile",
    "workflow",
    "profiles",
    "config",
    "cmcr",
    "baselines",
    "results/reference",
    "docs/fidelity.md",
)

TABLES = [
    "Gather all scores",
    "Gather all scores of segmentation on toy_nuscenes",
    "Write the tables of segmentation",
    "Write the table of gains over scratch",
]
COSTS = ["Write the table of costs"]
FIGURES = [f"Draw the figure {kind} of segmentation on toy_nuscenes" for kind in ("label_efficiency", "per_class")]
DIAGNOSED = ["Write the table of diagnostics"]
LOSSES = ["Draw the losses of ppkt over the steps of its pre-training"]


def finetuned(method: str) -> list[str]:
    protocols = ("finetune with 50 % of the labels", "linear_probe with 100 % of the labels")
    return [f"segmentation on toy_nuscenes: {method}, {protocol}, seed 0" for protocol in protocols]


#: An edited file, and what has to run again. What is not on a list must not run.
EDITS = {
    # Reached by one command alone.
    "cmcr/results/figures.py": FIGURES,
    "cmcr/evaluation/bootstrap.py": ["Write the table of gains over scratch"],
    "cmcr/results/courses.py": LOSSES,
    "cmcr/evaluation/linear_probe.py": [f"Diagnose what {method} learned, seed 0" for method in ("ppkt", "scratch")]
    + DIAGNOSED,
    # A job in the middle takes along what follows from it: no pre-training, no city, no pictures of scans.
    "cmcr/tasks/frozen.py": [*finetuned("ppkt"), *finetuned("scratch"), *TABLES, *FIGURES, *COSTS],
    # A plug-in takes along its own method, not the others.
    "baselines/ppkt.py": [
        "Pre-train ppkt, minkunet, seed 0",
        *finetuned("ppkt"),
        "Diagnose what ppkt learned, seed 0",
        "Draw what ppkt learned on toy_nuscenes",
        *DIAGNOSED,
        *LOSSES,
        *TABLES,
        *FIGURES,
        *COSTS,
    ],
}


class Edited(Workflow):
    """A finished run and a checkout of its own, which lie to each other as the real ones do."""

    checkout: Path

    def command(self, *arguments: str, cores: int = 2) -> list[str]:
        ours, theirs = (str(root / "Snakefile") for root in (ROOT, self.checkout))
        return [theirs if text == ours else text for text in super().command(*arguments, cores=cores)]

    def planned_after(self, file: str, text: str) -> list[str]:
        """Append ``text`` to a file of the checkout; return what a dry run then plans, and undo it."""
        path = self.checkout / file
        before = path.read_text()
        path.write_text(before + text)
        try:
            output = self.run("-n", "all_tables", "all_figures")
        finally:
            path.write_text(before)
        return sorted(re.findall(r"^Job \d+: (.*)$", output, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def edited(finished: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Edited:
    # Rules name plug-ins and published numbers by the way from the run to the checkout, so both move to one new root.
    root = tmp_path_factory.mktemp("moved")
    made = Edited(root / finished.folder.relative_to("/"))
    made.checkout = root / ROOT.relative_to("/")
    shutil.copytree(finished.folder, made.folder, symlinks=True)
    for name in _CHECKOUT:
        source, target = ROOT / name, made.checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return made


def test_comments_layout_and_code_that_no_job_runs_leave_everything_as_it_is(edited: Edited) -> None:
    assert edited.planned_after("cmcr/tasks/finetune.py", "\n# A comment.\n") == []
    assert edited.planned_after("cmcr/results/tables.py", '\n"""Words."""\n') == []
    assert edited.planned_after("cmcr/config_docs.py", "\nUNUSED = 1\n") == []
    assert edited.planned_after("baselines/also.py", "\nUNUSED = 1\n") == []


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_re_runs_what_depends_on_it_alone(edited: Edited, file: str) -> None:
    assert edited.planned_after(file, "\nUNUSED = 1\n") == sorted(EDITS[file])


def test_an_edit_of_what_all_begins_with_re_runs_all(edited: Edited) -> None:
    jobs = edited.planned_after("cmcr/data/toy/lidar.py", "\nUNUSED = 1\n")
    assert {"Render scene-0061 of the toy city", "Pre-train the small image teacher without labels"} <= set(jobs)
    assert set(EDITS["baselines/ppkt.py"]) <= set(jobs)
