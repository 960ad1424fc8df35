"""The base of everything that a config file can set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

#: Factor of a term of a loss; 0 leaves the term out.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Options(BaseModel):
    """A closed, immutable group of options: an unknown key is an error, and so is a value of the wrong type.

    Each group stands beside the code it configures; the whole tree is put together in `cmcr.config`, and
    ``config/README.md`` is printed from the descriptions of its fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in the form of a config file with some replaced: group by group, and key by key inside a group."""
    found = dict(base)
    for key, value in changes.items():
        below = found.get(key)
        found[key] = overlaid(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found
