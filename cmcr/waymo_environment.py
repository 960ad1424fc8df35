"""Where the environment of Waymo's own package is (``make waymo-env``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cmcr.sources import ROOT

#: Names another interpreter that has the package.
VARIABLE: Final = "CMCR_WAYMO_PYTHON"
HOW_TO_MAKE: Final = "make waymo-env"


def waymo_python() -> Path:
    """The interpreter with Waymo's package, whether it is there or not."""
    return Path(os.environ.get(VARIABLE, ROOT / ".venv-waymo" / "bin" / "python"))
