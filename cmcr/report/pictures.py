"""The figures of a run, embedded in a page that stays small enough to pass on."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image

from cmcr.data.image_files import DAMAGE, MAX_PIXELS
from cmcr.errors import CMCRError
from cmcr.reading import read_bytes, reason_of

COMPARISON, COURSE, PANELS, OTHERS = "comparison", "course", "panels", "others"
#: Chosen here: what can be read on a screen of 1280, on one of 900, and what still lets one see what it is.
WIDTHS: Final = (1600, 1200, 800, 500)
_WEBP_QUALITY: Final = 82


class Kind(NamedTuple):
    """A kind of figure: where it stands, and what its caption says."""

    group: str
    title: str
    caption: str


#: Named ``<kind>_<dataset>_<method>``.
_OF_METHODS: Final = {
    "losses": Kind(COURSE, "Losses", "Each loss and each measured scalar over the steps of pre-training."),
    "losses_voxelnet": Kind(
        COURSE, "Losses with VoxelNet", "Each loss and each measured scalar over the steps of pre-training a VoxelNet."
    ),
    "codebook_voxelnet": Kind(
        COURSE, "Codebook with VoxelNet", "How many codes were in use, over the steps of pre-training a VoxelNet."
    ),
    "codebook": Kind(COURSE, "Codebook", "How many codes of the codebook were in use, over the steps of pre-training."),
    "features": Kind(
        PANELS, "Features", "The cameras' images, the points paired with them, and the learned features in colours."
    ),
    "reconstruction": Kind(
        PANELS, "Rebuilt images", "Images of a scan that pre-training never saw, masked, and rebuilt by the method."
    ),
    "occupancy": Kind(PANELS, "Occupied space", "What the method takes for occupied on a scan it never saw."),
    "boxes": Kind(
        PANELS,
        "Boxes",
        "The boxes that a fine-tuned detector finds, dashed, and the labelled ones; in the image and above.",
    ),
    "panoptic": Kind(PANELS, "Instances", "The instances that a fine-tuned network finds, beside the true ones."),
}
#: Of a whole run, named by nothing else.
_OF_RUNS: Final = {
    "gains": Kind(COMPARISON, "Gains", "What each method gains over the baseline, everywhere."),
    "cost": Kind(COMPARISON, "Cost and quality", "What each method scores, against its hours of pre-training."),
    "ablation": Kind(COMPARISON, "Ablations", "What remains of a method's scores when parts of it are left out."),
}
#: Named ``<task>_<dataset>_<kind>``.
_OF_TASKS: Final = {
    "label_efficiency": Kind(COMPARISON, "Label efficiency", "Every method by the share of the labels."),
    "per_class": Kind(COMPARISON, "By class", "Every method by class, with the frozen backbone."),
}


@dataclass(frozen=True)
class Figure:
    """One figure in the forms that it was written in. ``svg`` or ``png`` may be missing, not both."""

    name: str
    group: str
    title: str
    caption: str
    svg: Path | None
    png: Path | None

    @property
    def original(self) -> Path:
        """The file that the page links to."""
        path = self.svg or self.png
        assert path is not None
        return path


@dataclass(frozen=True)
class Embedded:
    """A figure with its picture as a data URI. ``size`` is (width, height) in pixels where it is known."""

    figure: Figure
    uri: str
    size: tuple[int, int] | None


def name_figures(paths: Iterable[Path], datasets: Sequence[str], labels: Mapping[str, str]) -> list[Figure]:
    """Put the forms of each figure together, and read off its name what it shows.

    Args:
        paths: SVG and PNG files.
        datasets: ids of data sets that a name may hold.
        labels: name for print of each method's id; figures of methods come in this order.
    """
    forms: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        forms[path.stem][path.suffix] = path
    found = []
    for name, files in forms.items():
        kind, what, place = _read_name(name, datasets, labels)
        title = ": ".join(part for part in (kind.title, what) if part)
        figure = Figure(name, kind.group, title, kind.caption, files.get(".svg"), files.get(".png"))
        found.append((place, name, figure))
    return [figure for *_, figure in sorted(found, key=lambda entry: entry[:2])]


def _read_name(name: str, datasets: Sequence[str], labels: Mapping[str, str]) -> tuple[Kind, str, tuple[int, int]]:
    """Kind of a figure, what it shows, and its place: that of its kind, then that of its method."""
    if name in _OF_RUNS:
        return _OF_RUNS[name], "", (list(_OF_RUNS).index(name), 0)
    for dataset in datasets:
        for rank, (kind_id, kind) in enumerate(_OF_TASKS.items(), start=len(_OF_RUNS)):
            task = name.removesuffix(f"_{dataset}_{kind_id}")
            if task != name:
                return kind, f"{task} on {dataset}", (rank, 0)
        for rank, (kind_id, kind) in enumerate(_OF_METHODS.items()):
            method = name.removeprefix(f"{kind_id}_{dataset}_")
            if method != name and method in labels:
                return kind, f"{labels[method]} on {dataset}", (rank, list(labels).index(method))
    return Kind(OTHERS, "", ""), name.replace("_", " "), (0, 0)


def embed(figures: Sequence[Figure], max_bytes: int) -> tuple[list[Embedded], int | None]:
    """Turn figures into data URIs, as they are if all fit into ``max_bytes``, else smaller and smaller.

    Returns:
        The pictures, and the width in pixels that they were shrunk to, None if they were not. If even the smallest do
        not fit, they are returned all the same: a large page is better than one without its figures.

    Raises:
        CMCRError: a file is no picture.
    """
    found: list[Embedded] = []
    for width in (None, *WIDTHS):
        found = [_embed(figure, width) for figure in figures]
        if sum(len(picture.uri) for picture in found) <= max_bytes:
            return found, width
    return found, WIDTHS[-1]


def _embed(figure: Figure, width: int | None) -> Embedded:
    """Embed the SVG; with a width, a raster image of at most that width if this is smaller."""
    choices: list[tuple[str, bytes]] = []
    if figure.svg is not None:
        choices.append(("image/svg+xml", _content(figure.svg)))
    size = None
    if figure.png is not None:
        raster, size = _raster(figure.png, width)
        choices.append(("image/png" if width is None else "image/webp", raster))
    kind, content = choices[0] if width is None else min(choices, key=lambda choice: len(choice[1]))
    return Embedded(figure, f"data:{kind};base64,{base64.b64encode(content).decode()}", size)


def _raster(path: Path, width: int | None) -> tuple[bytes, tuple[int, int]]:
    """The bytes of a PNG as they are, or shrunk to ``width`` as WebP; and the size of what they show."""
    content = _content(path)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels")
            if width is None:
                return content, opened.size
            image = opened.convert("RGB")
            if image.width > width:
                image = image.resize(
                    (width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS
                )
            shrunk = io.BytesIO()
            image.save(shrunk, "WEBP", quality=_WEBP_QUALITY, method=6)
            return shrunk.getvalue(), image.size
    except DAMAGE as error:
        raise _unreadable(path, "PNG", error) from error


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise _unreadable(path, "picture", error) from error


def _unreadable(path: Path, kind: str, error: Exception) -> CMCRError:
    return CMCRError(
        f"{path}: not a {kind} that can be read: {reason_of(error)}\n"
        "  way out:  delete it and run `snakemake all_figures`"
    )
