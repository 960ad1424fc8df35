"""Options of the command line that are written in JSON."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from cmcr.config_errors import describe


def from_json(kind: Any) -> Callable[[str], Any]:
    """Return what argparse needs to read a group of options; a mistake in it is named as in a config file."""

    def read(text: str) -> Any:
        try:
            return TypeAdapter(kind).validate_json(text)
        except ValidationError as error:
            group = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else BaseModel
            raise ArgumentTypeError(describe(error, group, "JSON")) from None

    return read
