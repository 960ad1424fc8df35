"""For `mkdocs build`: the config reference as a page, and links that lead out of docs/ as plain text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REFERENCE = Path(__file__).resolve().parents[1] / "config" / "README.md"
#: A link to something of the repository that is no page, such as ``[`ppkt.py`](../baselines/ppkt.py)``.
_OUTWARD = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./[^)\s]+\)")


def on_files(files: Files, config: Any) -> Files:
    """Add ``config/README.md``, which lies outside the pages' folder because it belongs to the configs."""
    files.append(File.generated(config, "config.md", content=REFERENCE.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let files in the repository be links there, and text on the site."""
    return outward_as_text(markdown.replace("](../config/README.md)", "](config.md)"))


def outward_as_text(markdown: str) -> str:
    """Replace links that lead above the pages' folder by their texts."""
    return _OUTWARD.sub(r"\1", markdown)
