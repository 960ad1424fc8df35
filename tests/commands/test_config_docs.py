"""The documents that are printed from the code, and the schema of the config files."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_the_documents_printed_from_the_code_are_up_to_date(tmp_path: Path) -> None:
    from cmcr.cli import main

    pages = {"--reference": ROOT / "config" / "README.md", "--schema": ROOT / "workflow/schemas/config.schema.json"}
    arguments = [text for flag, page in pages.items() for text in (flag, str(tmp_path / page.name))]
    assert main(["config-docs", *arguments]) == 0
    for page in pages.values():
        assert (tmp_path / page.name).read_text() == page.read_text(), "run `make docs`"


def test_every_config_file_keeps_the_schema() -> None:
    import jsonschema

    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.json").read_text())
    for path in sorted((ROOT / "config").glob("*.yaml")):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
