"""What is wrong with a config file, said so that its author can mend it."""

from __future__ import annotations

import difflib
import reprlib
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

#: Shows the beginning of a value, however large it is.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 200, 200


def describe(error: ValidationError, model: type[BaseModel], source: str) -> str:
    """Return one line for each bad key of ``source``, with the nearest valid key where one is unknown."""
    lines = [f"{source}: {error.error_count()} problem(s) in the config"]
    for problem in error.errors():
        *_, valid = groups = list(_groups_along(model, problem["loc"][:-1]))
        key = ".".join(str(part) for part in problem["loc"] if not _is_tag(part, groups))
        match problem["type"]:
            case "extra_forbidden":
                lines.append(f"  {key}: unknown key{_nearest(str(problem['loc'][-1]), valid)}")
            case "missing":
                lines.append(f"  {key}: missing key; it has no default")
            case _:
                message = problem["msg"].removeprefix("Value error, ")
                found = "" if isinstance(problem["input"], dict) else f", found {_SHORT.repr(problem['input'])}"
                lines.append(f"  {key or 'the config'}: {message}{found}")
    lines.append("  way out:  config/README.md explains every key")
    return "\n".join(lines)


def _nearest(key: str, groups: Iterable[type[BaseModel]]) -> str:
    valid = sorted({name for group in groups for name in group.model_fields})
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; valid here: {', '.join(valid)}"


def _groups_along(model: type[BaseModel], location: Iterable[int | str]) -> Iterator[list[type[BaseModel]]]:
    """Yield the groups of options that stand at each step of ``location``: several where a union leaves it open."""
    here: list[Any] = [model]
    yield [model]
    for part in location:
        fields = [group.model_fields[part].annotation for group in _models(here) if part in group.model_fields]
        if fields:
            here = fields
        elif not _is_tag(part, [_models(here)]):
            here = [value for annotation in here for value in _values(annotation)]
        yield _models(here)


def _is_tag(part: int | str, groups: Iterable[Iterable[type[BaseModel]]]) -> bool:
    """Whether ``part`` is the name of a union's branch, which pydantic puts among the keys."""
    kinds = [group.model_fields["kind"] for models in groups for group in models if "kind" in group.model_fields]
    return any(part in get_args(kind.annotation) for kind in kinds)


def _models(annotations: Iterable[Any]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        elif get_origin(annotation) in (Union, types.UnionType, Annotated):
            found += _models(get_args(annotation))
    return found


def _values(annotation: Any) -> tuple[Any, ...]:
    """What a mapping or a sequence holds."""
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return tuple(value for part in get_args(annotation) for value in _values(part))
    return get_args(annotation)[-1:] if get_origin(annotation) is dict else get_args(annotation)[:1]
