from __future__ import annotations

from pathlib import Path

import pytest

from cmcr import sources
from cmcr.cli import COMMANDS
from cmcr.sources import ROOT, code_digest, sources_of

COMMAND_FILES = {name: ROOT / "cmcr" / "commands" / f"{name.replace('-', '_')}.py" for name in COMMANDS}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which a imports b, b imports c inside a function, and d stands alone."""
    package = tmp_path / "cmcr"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from cmcr import b\n\n\ndef f():\n    '''Says f.'''\n    return b.g() + 1\n")
    (package / "b.py").write_text("import os\n\n\ndef g():\n    import cmcr.c\n    return cmcr.c.X\n")
    (package / "c.py").write_text("X = 1\n")
    (package / "d.py").write_text("X = 2\n")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    return package


def digest(path: Path) -> str:
    for cached in (sources._parse, sources._imports, sources._meaning):
        cached.cache_clear()
    return code_digest(path)


def test_imports_are_followed_even_inside_functions(project: Path) -> None:
    assert [path.name for path in sources_of(project / "a.py")] == ["__init__.py", "a.py", "b.py", "c.py"]


def test_a_change_of_what_is_imported_changes_the_digest_and_another_one_does_not(project: Path) -> None:
    before = digest(project / "a.py")
    (project / "d.py").write_text("X = 3\n")
    assert digest(project / "a.py") == before
    (project / "c.py").write_text("X = 2\n")
    assert digest(project / "a.py") != before


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("# why\nfrom cmcr import b\n\ndef f():\n    '''Says g.'''\n\n    return (b.g() + 1)  # because\n", True),
        ("from cmcr import b\n\n\ndef f():\n    return b.g() + 1\n", True),
        ("from cmcr import b\n\n\ndef f():\n    return b.g() + 2\n", False),
        ("from cmcr import b\n\n\ndef f(x='''Says f.'''):\n    return b.g() + 1\n", False),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(project: Path, text: str, same: bool) -> None:
    before = digest(project / "a.py")
    (project / "a.py").write_text(text)
    assert (digest(project / "a.py") == before) is same


def test_the_place_of_the_checkout_does_not_count(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(project / "a.py")
    elsewhere = project.parent.rename(project.parent.with_name("elsewhere"))
    monkeypatch.setattr(sources, "ROOT", elsewhere)
    assert digest(elsewhere / "cmcr" / "a.py") == before


def test_every_command_has_its_file() -> None:
    assert [name for name, path in COMMAND_FILES.items() if not path.is_file()] == []


def test_tables_do_not_depend_on_training_and_training_not_on_tables() -> None:
    tables = {path.name for path in sources_of(COMMAND_FILES["tables"])}
    assert "table_text.py" in tables
    assert not {"training.py", "minkunet.py", "city.py"} & tables
    finetune = {path.name for path in sources_of(COMMAND_FILES["finetune"])}
    assert {"training.py", "minkunet.py", "iou.py", "engine.py"} <= finetune
    assert not {"table_text.py", "figures.py", "teacher.py", "city.py", "config.py", "cli.py"} & finetune
