from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cmcr.cli import main
from cmcr.commands.report import FIDELITY
from cmcr.errors import CMCRError
from cmcr.report.card import RunCard, write_card
from cmcr.report.files import RunFiles
from cmcr.report.page import PARTS, render_report

from .conftest import HARM, LABELS

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes and text; tags that do not close as they should fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    def having(self, attribute: str) -> list[str]:
        return [str(found[attribute]) for _, found in self.elements if attribute in found]


@pytest.fixture
def text(run_folder: Path) -> str:
    return render_report(RunFiles.found(run_folder), FIDELITY, 10**6)


@pytest.fixture
def page(text: str) -> Page:
    return Page(text)


def test_it_shows_the_run_its_tables_figures_and_jobs(page: Page) -> None:
    shown = " ".join(" ".join(page.texts).split())
    for expected in (
        "Toy data.",
        "town: split val, all 12 frames",
        "Segmentation on toy data: mIoU in percent",
        "Held-out measures on toy data",
        "0123abcd",
        "10 fine-tunings and linear probes; 12 measured jobs in all, together 6.0 hours",
        "frames that are scored",  # a row of docs/fidelity.md
    ):
        assert expected in shown
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [str(picture["alt"]).split(".")[0] for picture in pictures] == [
        "Features: Scratch on town",
        f"Losses: {LABELS['harm0']} on town",
    ]
    assert pictures[0]["width"] == "640"
    links = page.having("href")
    assert "logs/pretrain/none/minkunet/scratch/seed0.log" in links
    assert "tables/segmentation.csv" in links


def test_names_are_text_and_nothing_runs_or_loads(page: Page) -> None:
    shown = " ".join(page.texts)
    for label in HARM:
        assert label in shown
    assert "some <b>processor</b>" in shown
    assert "it <i>diverged</i>" in shown
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"i", "b", "iframe", "object", "link", "base", "form", "svg"} & set(tags)
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert all(source.startswith("data:image/") for source in page.having("src"))
    assert not any(":" in link for link in page.having("href"))  # within the page, or beside it


def test_the_browser_may_run_this_script_and_no_other(text: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'; img-src data:;" in policy
    for part in ("style", "script"):
        (content,) = re.findall(rf"<{part}>(.*?)</{part}>", text, flags=re.DOTALL)
        expected = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{part}-src 'sha256-{expected}'" in policy.replace("&#39;", "'").replace("&#43;", "+")


def test_every_anchor_has_its_place_and_no_id_is_there_twice(page: Page) -> None:
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.having("href") if link.startswith("#")} <= set(ids)
    assert {str(a["aria-labelledby"]) for _, a in page.elements if "aria-labelledby" in a} <= set(ids)


def test_the_same_files_give_the_same_bytes(run_folder: Path, text: str) -> None:
    elsewhere = run_folder.parents[1] / "moved" / "trial"
    shutil.copytree(run_folder, elsewhere)
    files = RunFiles.of(elsewhere, sorted((path for path in elsewhere.rglob("*") if path.is_file()), reverse=True))
    assert render_report(files, FIDELITY, 10**6) == text


def test_shrunken_pictures_are_said_to_be(run_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = " ".join(render_report(RunFiles.found(run_folder), FIDELITY, 10).split())
    assert "which are shrunk to a width of 500 pixels" in small
    assert "even at their smallest" in caplog.text


def test_real_data_do_not_pass_for_toy_nor_toy_for_real(run_folder: Path, card: RunCard) -> None:
    # The scores know it, whatever the config says.
    write_card(run_folder / "run.json", card.model_copy(update={"toy": False}))
    assert "Toy data." in render_report(RunFiles.found(run_folder), FIDELITY, 10**6)
    shutil.rmtree(run_folder / "finetune")
    shutil.rmtree(run_folder / "pretrain")
    assert "Toy data." not in render_report(RunFiles.found(run_folder), FIDELITY, 10**6)


def test_a_run_without_figures_and_scores_has_no_empty_parts(run_folder: Path) -> None:
    for name in ("finetune", "figures", "pretrain"):
        shutil.rmtree(run_folder / name)
    page = Page(render_report(RunFiles.found(run_folder), FIDELITY, 10**6))
    assert "figures" not in page.having("id")
    assert "jobs" not in page.having("id")
    shutil.rmtree(run_folder / "tables")
    with pytest.raises(CMCRError, match="no tables, scores or figures here"):
        render_report(RunFiles.found(run_folder), FIDELITY, 10**6)


def test_the_command_writes_it_beside_the_results(run_folder: Path, text: str) -> None:
    assert main(["report", str(run_folder)]) == 0
    assert (run_folder / "report.html").read_text(encoding="utf-8") == text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the page's script")
def test_rows_are_ordered_by_value_with_missing_numbers_last() -> None:
    numbers = ["9.5 ± 0.6", "n/a (a)", "28.9 ± 0.6 (2)", "-1.0", "9.5", "1e-3"]
    texts = ["CMCR", "b10", "b9", "a"]
    asked = [[numbers, True, False], [numbers, True, True], [texts, False, False], [texts, False, True]]
    code = f"const {{order}} = require({json.dumps(str(PARTS / 'report.js'))});"
    code += f"console.log(JSON.stringify({json.dumps(asked)}.map((entry) => order(...entry))))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        [3, 5, 0, 4, 2, 1],
        [2, 0, 4, 5, 3, 1],
        [3, 2, 1, 0],
        [0, 1, 2, 3],
    ]
