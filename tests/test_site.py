"""The pages of the documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")


def navigation() -> list[str]:
    content = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    return [page for entry in content["nav"] for page in entry.values()]


def test_every_page_is_in_the_navigation() -> None:
    # The config reference is generated; its page is made when the site is.
    assert sorted(navigation()) == sorted(["config.md", *(page.name for page in PAGES)])


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    targets = [link.split("#", 1)[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    # A record may not have been made yet in a checkout; everything else is there.
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert missing == []


def test_links_out_of_the_pages_become_text() -> None:
    pytest.importorskip("mkdocs")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from site_hook import on_page_markdown
    finally:
        sys.path.remove(str(ROOT / "docs"))
    text = "[`a`](../cmcr/a.py), [b](b.md), ![c](images/c.png) and [keys](../config/README.md)"
    assert on_page_markdown(text) == "`a`, [b](b.md), ![c](images/c.png) and [keys](config.md)"


def test_the_diagram_is_well_formed_and_loads_nothing() -> None:
    text = (ROOT / "docs" / "images" / "data_flow.svg").read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not {"script", "image", "foreignObject"} & {element.tag.rsplit("}", 1)[1] for element in root.iter()}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in navigation():
        text = (tmp_path / "site" / page.replace(".md", ".html")).read_text()
        # Fonts, scripts and styles come from the site itself.
        assert not re.findall(r'<(?:script|link rel="stylesheet|img)[^>]*(?:src|href)="https?://', text)
