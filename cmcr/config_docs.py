"""The config reference and the JSON schema, printed from the code, so that they cannot disagree with it."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cmcr.config import Config

_HEAD = """\
# Config reference

One file describes a run; `snakemake --configfile FILE -- all_tables all_figures` runs it. Objects are closed: a
mistyped key stops with the nearest valid one. A key without a default has to be given.

| file | what it is for |
| --- | --- |
| `toy.yaml` | the default: the toy city, headline methods, all tasks, two seeds; an hour or more on 2 cores |
| `toy_full.yaml` | the toy city with every method, CMCR's ablations and three seeds; many hours on 2 cores |
| `smoke.yaml` | the whole workflow in its smallest form, in minutes; its numbers mean nothing |
| `real_keyframe.yaml` | PPKT on one real nuScenes keyframe, with a picture; it has no tables |
| `paper.yaml` | nuScenes with the recipes of the SLidR family; needs the data and a GPU |

Single values can be set on the command line: `snakemake --config 'seeds=[0]'`. Key and value are merged into the file
that is used. The JSON schema for editors is `workflow/schemas/config.schema.json`.

This page is printed by `make docs` from the code; edit the code, not the page.
"""


def reference(methods: Mapping[str, type[BaseModel]]) -> str:
    """Return ``config/README.md``: every key with its type, default and meaning.

    Args:
        methods: options of each method by its id.
    """
    lines = [_HEAD]
    for path, group in _groups("", Config):
        lines += [f"\n## {f'`{path}`' if path else 'Top level'}\n", _first_paragraph(group), "", *_table(group)]
    lines.append("\n## `methods.<id>.options`\n\nEach method has its own.")
    for method, options in methods.items():
        for path, group in _groups("", options) if options.model_fields else ():
            lines += [f"\n### `{method}`{f': `{path}`' if path else ''}\n", *_table(group)]
    return "\n".join(lines) + "\n"


def schema() -> str:
    """Return the JSON schema of a config."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def _groups(path: str, group: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every group of options below ``group``, each once, with the path of its first place."""
    seen: set[type[BaseModel]] = set()
    waiting = [(path, group)]
    while waiting:
        here, model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        yield here, model
        for name, field in model.model_fields.items():
            below = f"{here}.{name}" if here else name
            waiting += [(below + suffix, nested) for suffix, nested in _nested(field.annotation)]


def _nested(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = annotation.model_fields.get("kind")
        values = get_args(kind.annotation) if kind and get_origin(kind.annotation) is Literal else ()
        yield (f" (kind: {values[0]})" if len(values) == 1 else ""), annotation
    elif origin is dict:
        for suffix, model in _nested(get_args(annotation)[1]):
            yield f".<id>{suffix}", model
    elif origin in (Union, types.UnionType, Annotated, tuple):
        for part in get_args(annotation):
            yield from _nested(part)


def _table(group: type[BaseModel]) -> list[str]:
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in group.model_fields.items():
        cells = (f"`{name}`", _type(field), _default(field), " ".join((field.description or "").split()))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _first_paragraph(group: type[BaseModel]) -> str:
    return " ".join((group.__doc__ or "").split("\n\n")[0].split())


def _type(field: FieldInfo) -> str:
    text = _type_name(field.annotation)
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if getattr(rule, name, None) is not None
    ]
    return " ".join([text, *bounds])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_type_name, arguments)))
    if origin in (tuple, list):
        inner = [_type_name(part) for part in arguments if part is not ...]
        return f"list of {inner[0]}" if ... in arguments or origin is list else f"[{', '.join(inner)}]"
    if origin is dict:
        return f"mapping to {_type_name(arguments[1])}" if arguments[1] is not Any else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "group"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, "path" if getattr(annotation, "__name__", "") == "Path" else str(annotation))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, Enum):
        value = value.value
    text = json.dumps(value, default=lambda group: group.model_dump(mode="json"))
    return f"`{text}`" if value is not None else "`null`"
