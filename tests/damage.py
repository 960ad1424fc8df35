"""Data, weights and results damaged in named ways, and what the suite answers to each.

`tests/test_bad_input.py` runs all of them; run as a program, this file writes ``docs/bad-input.md``.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from damage_commands import HEADROOM_BYTES, answer_to
from damage_data import kitti, label_maps, nuscenes_files, nuscenes_tables, semantic_kitti, waymo
from damage_runs import config, pre_training, results, weights
from damage_tools import ROOT, Answer, Damage
from damage_yard import build_yard

PAGE = ROOT / "docs" / "bad-input.md"

GROUPS: tuple[Callable[[], list[Damage]], ...] = (
    nuscenes_tables, nuscenes_files, semantic_kitti, label_maps, kitti, waymo, weights, config, results, pre_training,
)  # fmt: skip
DAMAGES: list[Damage] = [damage for group in GROUPS for damage in group()]


_HEAD = """\
# What bad input gives

Every reader and every command that meets damaged or foreign input stops with one message: the file, what was expected,
what was found, and the way out. No trace is printed, the exit code is 1, nothing half-written is left, and what claims
to be huge is refused before memory is asked for. The tables say what each of {count} damages gives;
`tests/test_bad_input.py` makes every one of them, and fails where this page says something else. What is marked as
limited is run with {headroom} MiB above what the command takes to start.

What is trusted and what is not stands in [security](security.md). This page is printed from the tests by `make docs`.
"""


def page(answers: Sequence[tuple[Damage, Answer]]) -> str:
    """Return ``docs/bad-input.md``."""
    parts = [_HEAD.format(count=len(answers), headroom=HEADROOM_BYTES // 2**20)]
    for group, rows in groupby(answers, key=lambda pair: pair[0].group):
        parts.append(f"\n## {group}\n\n| damage | file | command | answer |\n| --- | --- | --- | --- |")
        for damage, answer in rows:
            name = f"{damage.name} (limited)" if damage.claims_memory else damage.name
            command = damage.command(Path("x"), Path("x"))[0]
            cells = (name, f"`{damage.file}`", f"`{command}`", _short(answer.text, damage))
            parts.append("| " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


def _short(text: str, damage: Damage) -> str:
    """What was expected and what was found, without what differs from one machine to the next."""
    match = re.search(r"^  expected: (.*(?:\n {12}.*)*)\n  found: +(.*(?:\n {12}.*)*)", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("cmcr ") or re.search(damage.reason, line)]
    said = f"expected {match[1]}; found {match[2]}" if match else lines[-1].split(": ", 1)[-1]
    said = re.sub(r"\S*/" + re.escape(Path(damage.file).name), Path(damage.file).name, " ".join(said.split()))
    said = re.sub(r"/[\w/.-]{12,}/", "…/", said)
    said = re.sub(r"\b[0-9a-f]{16,}\b", "…", said)
    if damage.group in ("nuScenes", "pre-training"):  # where a ray just hits or not, processors differ
        said = re.sub(r"\b\d{4,}\b|\d+ bytes not processed", "N", said)
    if damage.file == "config.yaml":  # a copy of the default one, which grows
        said = re.sub(r"in line \d+", "in line N", said)
    said = said if len(said) <= 180 else f"{said[:179]}…"
    return "".join(f"\\{c}" if c in "|`*_[]<>\\" else c for c in said)


def write_page() -> None:
    """Damage everything and write down what it gives."""
    with tempfile.TemporaryDirectory() as folder:
        yard = Path(folder) / "yard"
        build_yard(yard)
        answers = [(d, answer_to(d, yard, Path(folder) / str(number))) for number, d in enumerate(DAMAGES)]
    PAGE.write_text(page(answers), encoding="utf-8")


if __name__ == "__main__":
    write_page()
