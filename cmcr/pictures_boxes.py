"""A picture of a scan's boxes: drawn into the image of one camera and, with the points, seen from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cmcr.boxes.boxes3d import Boxes3D, corners
from cmcr.data.box_projection import project_edges
from cmcr.data.image_files import read_image
from cmcr.data.scan import Camera, Scan
from cmcr.errors import DataError
from cmcr.results.style import STYLE

_NIGHT = "#0D1117"
_COLOURS = colormaps["tab10"].colors  # type: ignore[attr-defined]
_OTHER = (0.75, 0.75, 0.75)
#: In inches: width of both parts, the gap between them, margin, and the head with title and legend.
_WIDTH, _GAP, _MARGIN, _HEAD = 12.0, 0.1, 0.25, 0.7
#: Free space around the boxes and the nearer points, in metres, and the share of the points that is shown whole.
_AROUND, _SHOWN = 3.0, 0.99
_DPI = 100
#: So many entries of the legend stand beside the title; more stand below it, so many in a row of this height in inches.
_BESIDE_TITLE, _PER_ROW, _ROW = 5, 6, 0.25


def draw_boxes(
    scan: Scan, class_names: Sequence[str], title: str, detected: Boxes3D | None = None, camera: int = 0
) -> Figure:
    """Draw the labelled boxes of a scan and, dashed, the detected ones, a colour for each class.

    A line leads from a box's centre out of its front.

    Args:
        scan: with boxes, labelled or none, and at least one camera.
        class_names: of the classes; boxes of class 0 are grey.
        title: what stands above.
        detected: boxes that a network found.
        camera: number of the camera to draw into.

    Raises:
        DataError: the scan has no such camera, or its image is missing or damaged.
    """
    if not 0 <= camera < len(scan.cameras):
        raise DataError(f"scan {scan.token} of {scan.dataset} has {len(scan.cameras)} cameras, none of number {camera}")
    view = scan.cameras[camera]
    shown = [(boxes, dashed) for boxes, dashed in ((scan.boxes, False), (detected, True)) if boxes is not None]
    low, high = _extent(scan, [boxes for boxes, _ in shown])
    tall_image = _WIDTH * view.size[0] / view.size[1]
    # Seen from above x, forward in KITTI, goes to the right, so that image and view are equally wide.
    tall_view = _WIDTH * (high[1] - low[1]) / (high[0] - low[0])
    used = sorted({int(number) for boxes, _ in shown for number in boxes.classes})
    marks = [Line2D([], [], color=_colour(n), label=class_names[n] if n else "other") for n in used]
    if detected is not None:
        marks.append(Line2D([], [], color="black", linestyle="--", label="detected"))
    rows = 0 if len(marks) <= _BESIDE_TITLE else -(-len(marks) // _PER_ROW)
    head = _HEAD + rows * _ROW
    size = (_WIDTH + 2 * _MARGIN, head + tall_image + _GAP + tall_view + _MARGIN)
    with rc_context(STYLE):
        figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
        left, wide = _MARGIN / size[0], _WIDTH / size[0]
        upper = figure.add_axes((left, 1 - (head + tall_image) / size[1], wide, tall_image / size[1]))
        lower = figure.add_axes((left, _MARGIN / size[1], wide, tall_view / size[1]))
        _draw_image(upper, view, shown)
        _draw_from_above(lower, scan.points, shown, low, high)
        figure.text(left, 1 - 0.25 / size[1], title, va="center", fontsize=14, fontweight="bold")
        if marks and not rows:
            anchor = (1 - left, 1 - 0.1 / size[1])
            figure.legend(handles=marks, loc="upper right", bbox_to_anchor=anchor, ncols=len(marks), frameon=False)
        elif marks:
            anchor = (left, 1 - 0.4 / size[1])
            figure.legend(
                handles=marks, loc="upper left", bbox_to_anchor=anchor, ncols=_PER_ROW, frameon=False, borderpad=0
            )
    return figure


def _colour(number: int) -> tuple[float, float, float]:
    return _COLOURS[(number - 1) % len(_COLOURS)] if number else _OTHER


def _look(boxes: Boxes3D, repeats: int, dashed: bool) -> dict:
    colours = [_colour(int(number)) for number in boxes.classes.repeat(repeats)]
    return {"colors": colours, "linewidths": 1.5, "linestyles": "--" if dashed else "-"}


def _draw_image(axes: Axes, camera: Camera, shown: Sequence[tuple[Boxes3D, bool]]) -> None:
    height, width = camera.size
    axes.imshow(read_image(camera), extent=(-0.5, width - 0.5, height - 0.5, -0.5), aspect="auto")
    for boxes, dashed in shown:
        ends = project_edges(boxes.geometry, camera).reshape(-1, 2, 2)
        axes.add_collection(LineCollection([*ends], **_look(boxes, 12, dashed)))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()


def _draw_from_above(
    axes: Axes,
    points_P4: NDArray[np.float32],
    shown: Sequence[tuple[Boxes3D, bool]],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    order = np.argsort(points_P4[:, 2], kind="stable")
    bottom, top = np.percentile(points_P4[:, 2], (2, 98)) if len(points_P4) else (0.0, 1.0)
    x, y, z = points_P4[order, :3].T
    axes.set_facecolor(_NIGHT)
    axes.scatter(x, y, s=1.0, c=z, cmap="viridis", vmin=bottom, vmax=max(top, bottom + 0.1), linewidths=0)
    for boxes, dashed in shown:
        floor_N42 = corners(boxes.geometry)[:, :4, :2]
        outline = np.concatenate([floor_N42, floor_N42[:, :1]], axis=1)
        axes.add_collection(LineCollection([*outline], **_look(boxes, 1, dashed)))
        front = floor_N42[:, [0, 3]].mean(axis=1)
        centre = boxes.geometry[:, :2]
        ahead = np.stack([centre, centre + 1.4 * (front - centre)], axis=1)
        axes.add_collection(LineCollection([*ahead], **_look(boxes, 1, dashed)))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    bar = low + 0.03 * (high - low)
    axes.plot([bar[0], bar[0] + 10], [bar[1], bar[1]], color="white", linewidth=2, solid_capstyle="butt")
    axes.text(bar[0] + 5, bar[1] + 0.5, "10 m", color="white", ha="center", va="bottom")


def _extent(scan: Scan, shown: Sequence[Boxes3D]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower left and upper right of what is seen from above: all boxes, the sensor, and most points."""
    tail = 50 * (1 - _SHOWN)
    places = [np.zeros((1, 2)), *(corners(boxes.geometry)[..., :2].reshape(-1, 2) for boxes in shown)]
    if len(scan.points):
        places.append(np.percentile(scan.points[:, :2], (tail, 100 - tail), axis=0))
    every = np.concatenate(places)
    return every.min(axis=0) - _AROUND, every.max(axis=0) + _AROUND
