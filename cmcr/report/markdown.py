"""Markdown as blocks of safe HTML: no tag, image or script of the text comes through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

# HTML in the text is shown as text. Images are left out because a page that can be passed on must not load anything.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_block", "html_inline"])
_RENDERER = RendererHTML()
_UNDERLINED = re.compile(r"&lt;ins&gt;(-?[0-9.]+)&lt;/ins&gt;")


@dataclass(frozen=True)
class Heading:
    """A heading below the page's title."""

    text: Markup
    level: int


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: Markup


@dataclass(frozen=True)
class Column:
    """A column's header. ``numeric`` columns are set to the right and sorted as numbers."""

    text: Markup
    numeric: bool


@dataclass(frozen=True)
class TableView:
    """A table as it is shown."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Markup]]
    caption: Markup | None = None
    notes: Sequence[Markup] = ()

    @property
    def naming_column(self) -> int:
        """Index of the column that names a row: the last one before the numbers, or the first where there are none."""
        first_number = next((i for i, column in enumerate(self.columns) if column.numeric), 0)
        return max(first_number - 1, 0)


Block = Heading | Paragraph | TableView


def blocks(text: str) -> list[Block]:
    """Split ``text`` into headings, paragraphs and tables; anything else in it is left out."""
    return list(_blocks(_PARSER.parse(text)))


def captioned(parts: Sequence[Block]) -> list[TableView]:
    """Give each table the paragraph before it as its caption, and those behind it, up to the next caption, as notes."""
    places = [i for i, part in enumerate(parts) if isinstance(part, TableView)]
    found = []
    for place, after in zip(places, [*places, None][1:], strict=True):
        table, before = parts[place], parts[place - 1] if place else None
        assert isinstance(table, TableView)
        behind = parts[place + 1 : after if after is None else after - 1]
        caption = before.text if isinstance(before, Paragraph) else None
        notes = [part.text for part in behind if isinstance(part, Paragraph)]
        found.append(TableView(table.columns, table.rows, caption, notes))
    return found


def _rendered(token: Token) -> Markup:
    """HTML of running text. Of its tags one comes through: that which underlines a number, as our tables have it."""
    html = _RENDERER.renderInline(token.children or [], _PARSER.options, {})
    return Markup(_UNDERLINED.sub(r"<ins>\1</ins>", html))


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    level, columns, rows = 0, list[Column](), list[list[Markup]]()
    kind, numeric, in_body = "", False, False
    for token in tokens:
        match token.type:
            case "heading_open":
                kind, level = "heading", int(token.tag[1:])
            case "paragraph_open":
                kind = "paragraph"
            case "table_open":
                columns, rows, in_body = [], [], False
            case "tbody_open":
                in_body = True
            case "tr_open" if in_body:
                rows.append([])
            case "th_open":
                kind, numeric = "th", "right" in str(token.attrGet("style") or "")
            case "td_open":
                kind = "td"
            case "table_close":
                yield TableView(columns, rows)
            case "inline":
                html = _rendered(token)
                if kind == "heading":
                    yield Heading(html, level)
                elif kind == "paragraph":
                    yield Paragraph(html)
                elif kind == "th":
                    columns.append(Column(html, numeric))
                elif kind == "td":
                    rows[-1].append(html)
