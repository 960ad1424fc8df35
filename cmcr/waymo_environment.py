"""The environment of Waymo's own package (``make waymo-env``), and what a run lacks without it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cmcr.sources import ROOT

if TYPE_CHECKING:
    from cmcr.config import Config

#: Names another interpreter that has the package.
VARIABLE: Final = "CMCR_WAYMO_PYTHON"
HOW_TO_MAKE: Final = "make waymo-env"


def waymo_python() -> Path:
    """The interpreter with Waymo's package, whether it is there or not."""
    return Path(os.environ.get(VARIABLE, ROOT / ".venv-waymo" / "bin" / "python"))


def absent_without_waymo(config: Config) -> dict[str, str]:
    """By id, toy cities that cannot be made without the environment, and how to get it.

    They are left out of a run and its tables say why; real data that a config asks for must be there.
    """
    toys = [name for name, options in config.datasets.items() if options.format == "waymo" and options.toy]
    return dict.fromkeys(toys, HOW_TO_MAKE)
