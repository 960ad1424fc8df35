"""What pip would install for the pins of a lock, and what the packages say of themselves; nothing is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supply.licences import licence_of
from supply.locks import Pin, normalised

#: pip's settings that name a place to look for packages.
_PLACES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT", "PIP_NO_INDEX")

#: The first whose report has licence expressions, by which newer packages state their licence alone.
OLDEST_PIP = 25


@dataclass(frozen=True)
class Found:
    """The file that pip chose for one pin."""

    name: str
    sha256: str
    licence: str


def ask_pip(pins: Iterable[Pin], *, default_index: bool) -> dict[str, Found]:
    """Ask pip which file it would install for each pin; return them by normalised name.

    Args:
        pins: what to ask for; their hashes are not looked at.
        default_index: ask the index that pip has when nothing is configured, instead of what is configured here.
    """
    environment = dict(os.environ)
    if default_index:
        environment = {name: value for name, value in environment.items() if name not in _PLACES}
        environment["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory() as folder:
        asked, report = Path(folder) / "asked.txt", Path(folder) / "report.json"
        asked.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        subprocess.run(
            [*command, "--report", str(report), "--requirement", str(asked)], env=environment, check=True, cwd=folder
        )
        told = json.loads(report.read_text(encoding="utf-8"))
        if int(told["pip_version"].split(".")[0]) < OLDEST_PIP:
            raise SystemExit(f"pip {told['pip_version']} tells no licence expressions: use `make supply`")
        chosen = told["install"]
    return {found.name: found for found in map(_found, chosen)}


def _found(entry: dict[str, Any]) -> Found:
    metadata = entry["metadata"]
    return Found(
        name=normalised(metadata["name"]),
        sha256=f"sha256:{entry['download_info']['archive_info']['hashes']['sha256']}",
        licence=licence_of(
            metadata.get("license_expression"), metadata.get("classifier", []), metadata.get("license", "")
        ),
    )
