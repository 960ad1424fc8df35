"""The base of everything that a config file can set."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: Factor of a term of a loss; 0 leaves the term out.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Options(BaseModel):
    """A closed, immutable group of options: an unknown key is an error, and so is a value of the wrong type.

    Each group stands beside the code it configures; the whole tree is put together in `cmcr.config`, and
    ``config/README.md`` is printed from the descriptions of its fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
