"""How every figure looks, and how it is written: the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from cmcr.files import atomic_path

INK = "#222222"
FAINT = "#8A8A8A"

#: Told apart with every common colour blindness (Okabe and Ito 2008, its yellow left out because it is too light for
#: lines, completed with two of Paul Tol's muted colours); grey comes first because the first method is the floor.
_COLOURS = ("#6E6E6E", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#882255", "#999933")
_MARKERS = ("o", "s", "^", "D", "v", "p", "X", "<", ">", "h", "P")

STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 7,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.8,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
    "svg.fonttype": "path",
    "svg.hashsalt": "cmcr",
    "savefig.dpi": 160,
}


@dataclass(frozen=True)
class Look:
    """Colour and marker of one method, the same in every figure of a run."""

    colour: str
    marker: str


def method_looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method id, by its place in the config. Beyond nine, colours return with other markers."""
    return {
        method: Look(_COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)])
        for index, method in enumerate(methods)
    }


def write_figure(folder: Path | str, name: str, figure: Figure) -> None:
    """Write ``<name>.svg`` and ``<name>.png``, each atomically and without a date."""
    for suffix, metadata in ((".svg", {"Date": None}), (".png", None)):
        # The style again: some of it, such as the ids in an SVG, takes effect only on writing.
        with rc_context(STYLE), atomic_path(Path(folder) / f"{name}{suffix}") as path:
            figure.savefig(path, metadata=metadata, bbox_inches="tight", pad_inches=0.1)
