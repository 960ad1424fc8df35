"""The report: one HTML page that holds everything it shows, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cmcr.errors import CMCRError
from cmcr.reading import read_text, reason_of
from cmcr.report.card import read_card
from cmcr.report.files import RunFiles
from cmcr.report.markdown import TableView, blocks, captioned
from cmcr.report.origin import held_out_table, jobs_of, origin_of
from cmcr.report.pictures import COMPARISON, COURSE, OTHERS, PANELS, Embedded, embed, name_figures
from cmcr.results.diagnostics import Diagnosis
from cmcr.results.held_out import HeldOut, read_held_out
from cmcr.results.records import read_record
from cmcr.results.scores import Scores, read_scores
from cmcr.results.summary import MEAN_METRICS
from cmcr.results.table_text import to_markdown

logger = logging.getLogger(__name__)

#: Template, style and script of the page.
PARTS: Final = Path(__file__).resolve().parent / "page"
#: Behind the tables of the tasks, in this order; tables of other names come between.
_LAST_TABLES: Final = ("ablation", "diagnostics", "transfer", "published", "cost")
_FIGURE_GROUPS: Final = {
    COMPARISON: "Comparison",
    PANELS: "What the methods make of a scan",
    COURSE: "Pre-training, step by step",
    OTHERS: "Other figures",
}


@dataclass(frozen=True)
class TableFile:
    """The tables of one file."""

    id: str
    title: str
    views: Sequence[TableView]
    source: str
    """Link to the file, without its suffix; empty where the table is made for this page alone."""


def render_report(files: RunFiles, fidelity: Path, max_picture_bytes: int) -> str:
    """Return the page. The same files give the same text.

    Args:
        files: what it is made of.
        fidelity: ``docs/fidelity.md``, whose rows are shown.
        max_picture_bytes: pictures are shrunk until they take no more, as far as that goes.

    Raises:
        CMCRError: there is nothing to report, or a file is damaged.
    """
    card = read_card(files.card)
    if not files.tables and not files.scores and not files.figures:
        raise CMCRError(
            f"{files.folder}: no tables, scores or figures here\n  way out:  make them with `snakemake report`"
        )
    scores = {files.link(path): read_scores(path) for path in files.scores}
    held_out = [read_held_out(path) for path in files.held_out]
    diagnoses = [read_record(path, Diagnosis, "diagnostics") for path in files.diagnoses]
    records: list[Scores | HeldOut | Diagnosis] = [*scores.values(), *held_out, *diagnoses]
    pictures, width = embed(name_figures(files.figures, card.datasets, card.labels), max_picture_bytes)
    picture_bytes = sum(len(picture.uri) for picture in pictures)
    if picture_bytes > max_picture_bytes:
        logger.warning("the pictures take %.1f MB even at their smallest", picture_bytes / 1e6)
    tables = _table_files(files)
    if held_out:
        view = captioned(blocks(to_markdown(held_out_table(held_out, card.labels))))
        tables.append(TableFile("held_out", "held out", view, ""))
    # Nobody's name for a method can be a script while these two, by their hashes, are the only ones allowed.
    style, script = ((PARTS / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    template = _environment().get_template("report.html.j2")
    content = {
        "card": card,
        "toy": card.toy or any(record.toy for record in records),
        "scores": list(scores.values()),
        "splits": sorted({(s.dataset, s.split, s.num_frames) for s in scores.values()}),
        "origin": origin_of(record.provenance for record in records),
        "jobs": jobs_of(scores, card.labels),
        "tables": tables,
        "figures": [
            (id, title, _in_group(pictures, id)) for id, title in _FIGURE_GROUPS.items() if _in_group(pictures, id)
        ],
        "fidelity": blocks(fidelity.read_text(encoding="utf-8")),
        "picture_bytes": picture_bytes,
        "picture_width": width,
        "style": Markup(style),  # our own file, not escaped
        "script": Markup(script),
        "style_hash": _csp_hash(style),
        "script_hash": _csp_hash(script),
        "link": lambda path: quote(files.link(path)),
    }
    size = len(template.render(**content, page_bytes=0).encode())
    return template.render(**content, page_bytes=size)


def _table_files(files: RunFiles) -> list[TableFile]:
    def rank(path: Path) -> tuple[int, str]:
        name = path.stem
        if name in MEAN_METRICS:
            return 0, name
        if name.endswith("_per_class"):
            return len(_LAST_TABLES) + 2, name
        return (_LAST_TABLES.index(name) + 2 if name in _LAST_TABLES else 1), name

    return [
        TableFile(
            path.stem,
            path.stem.replace("_", " "),
            captioned(blocks(_text(path))),
            quote(files.link(path.with_suffix(""))),
        )
        for path in sorted(files.tables, key=rank)
    ]


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise CMCRError(f"{path}\n  expected: tables in Markdown\n  found:    {reason_of(error)}") from None


def _in_group(pictures: Sequence[Embedded], group: str) -> list[Embedded]:
    return [picture for picture in pictures if picture.figure.group == group]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["megabytes"] = lambda count: f"{count / 1e6:.1f} MB"
    environment.filters["href"] = quote
    environment.tests["table"] = lambda block: isinstance(block, TableView)
    return environment


def _csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
