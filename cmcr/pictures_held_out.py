"""Pictures of what a pre-trained method makes of a scan it never saw: rebuilt images, and occupied space.

Both say in numbers what they show in colours, for the scan in the picture and for the measured scans of its split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from cmcr.data.scan import Camera
from cmcr.evaluation.occupancy import OccupancyAccuracy
from cmcr.losses.image_reconstruction import error_inside_masks
from cmcr.pictures import camera_label, in_order
from cmcr.pretrain.held_out import Pretrained
from cmcr.pretrain.views import Survey
from cmcr.results.held_out import HeldOut
from cmcr.results.style import FAINT, INK, STYLE

_DPI = 130
#: Dark is much, in colours and in grey alike.
_ERRORS, _PROBABILITY = colormaps["magma_r"], colormaps["cividis_r"]
#: Absolute errors at and beyond this, in [0, 1], are darkest.
_LARGEST_ERROR = 0.5
#: Half the side of the view from above, and half the length of the view from the side, in metres.
REACH_M = 25.0
#: Edge of a cell that is asked about, in metres.
CELL_M = 0.2
#: The view from above is cut at this height above the ground, that of the doors of cars.
CUT_M = 0.8
#: Points that lie no further than this from the plane of a cut are shown beside it.
SLAB_M = 0.3
#: Lowest and highest row of the view from the side, in metres above the ground.
BELOW_M, ABOVE_M = 1.0, 5.0
#: Points nearer to the sensor than this may be the vehicle's own roof: on a nuScenes keyframe a quarter of all.
_ROOF_M = 3.0
#: Directions that are tried for the view from the side.
_DIRECTIONS = 36


def draw_reconstruction(pretrained: Pretrained, position: int, held_out: HeldOut | None, title: str) -> Figure:
    """Draw the images of one scan: masked, rebuilt, as they were, and where the two differ.

    Args:
        pretrained: a method that shows ``reconstruction``, and its scans.
        position: of the scan.
        held_out: measures of the same pre-training, to be printed; None prints those of this scan alone.
        title: what stands above.

    Raises:
        DataError: there is no such scan, or a file of it is missing or damaged.
    """
    with torch.no_grad():
        rebuilt = pretrained.method.rebuild(pretrained.step(position))
    error_I = error_inside_masks(rebuilt.rebuilt_I3hw, rebuilt.target_I3hw, rebuilt.masks_Ihw).cpu().numpy()
    masked_I3hw = rebuilt.target_I3hw.masked_fill(rebuilt.masks_Ihw[:, None], 0)
    pictures = [_as_images(part) for part in (masked_I3hw, rebuilt.rebuilt_I3hw, rebuilt.target_I3hw)]
    difference_Ihw = (rebuilt.rebuilt_I3hw - rebuilt.target_I3hw).abs().mean(dim=1).cpu().numpy()
    cameras = pretrained.scans.index.read(position, with_labels=False).cameras
    said = [f"this scan, inside masks: {_error(float(np.nanmean(error_I)))}"]
    if held_out is not None:
        values = held_out.measures
        said.append(
            f"{held_out.num_scans} held-out scans: {_error(values.get('error_inside_masks'))}"
            f" (masks filled with the mean colour: {_error(values.get('error_inside_masks_mean_colour'))})"
        )
    return _draw_images(pictures, difference_Ihw, error_I, cameras, title, "squared error of " + "; ".join(said))


def _draw_images(
    pictures: list[NDArray[np.float32]],
    difference_Ihw: NDArray[np.float32],
    error_I: NDArray[np.float32],
    cameras: Sequence[Camera],
    title: str,
    note: str,
) -> Figure:
    order = in_order(cameras)
    height, width = difference_Ihw.shape[1:]
    wide, gap, left, head, foot = 2.35, 0.05, 0.95, 0.86, 0.52
    high = wide * height / width
    size = (left + 4 * (wide + gap) + 0.25, head + len(order) * (high + gap) + foot)
    with rc_context(STYLE):
        figure = Figure(figsize=size, dpi=_DPI, facecolor="white")

        def place(x: float, y: float, across: float, down: float) -> Axes:
            return figure.add_axes((x / size[0], 1 - (y + down) / size[1], across / size[0], down / size[1]))

        figure.text(0.1 / size[0], 1 - 0.24 / size[1], title, fontsize=12, fontweight="bold", va="center")
        figure.text(0.1 / size[0], 1 - 0.5 / size[1], note, fontsize=8.5, va="center")
        for row, number in enumerate(order):
            y = head + row * (high + gap)
            for column, images in enumerate([*pictures, difference_Ihw]):
                axes = place(left + column * (wide + gap), y, wide, high)
                axes.imshow(images[number], cmap=_ERRORS, vmin=0, vmax=_LARGEST_ERROR, interpolation="nearest")
                axes.set_axis_off()
                if row == 0:
                    heading = ("masked input", "reconstruction", "target", "absolute error")[column]
                    axes.set_title(heading, fontsize=9, pad=3)
            label = f"{camera_label(cameras[number])}\n{_error(float(error_I[number]))}"
            x, middle = (left - 0.08) / size[0], 1 - (y + high / 2) / size[1]
            figure.text(x, middle, label, ha="right", va="center", fontsize=8.5)
        scale = place(left + 3 * (wide + gap), size[1] - foot + 0.12, wide, 0.1)
        scale.imshow(np.linspace(0, 1, 256)[None], cmap=_ERRORS, aspect="auto", extent=(0, _LARGEST_ERROR, 0, 1))
        scale.set(yticks=[], xticks=[0, _LARGEST_ERROR / 2, _LARGEST_ERROR])
        scale.set_xticklabels(["0", f"{_LARGEST_ERROR / 2:g}", f"≥ {_LARGEST_ERROR:g}"])
        _strip(scale)
        foot_note = "below each camera's name: squared error inside its masks; colours lie in [0, 1]"
        figure.text(left / size[0], (foot - 0.17) / size[1], foot_note, fontsize=8, color=FAINT, va="center")
    return figure


@dataclass(frozen=True)
class Cut:
    """A plane through a scan, and the P points near it.

    Attributes:
        places_RC3: (R, C, 3) metres, the centres of its cells, the lowest row first.
        extent: left, right, bottom, top of the cells, in the plane's own metres.
        points_P2: (P, 2) where the points near it lie in the plane.
        sensor: where the sensor is.
    """

    places_RC3: NDArray[np.float32]
    extent: tuple[float, float, float, float]
    points_P2: NDArray[np.float32]
    sensor: tuple[float, float]


def cut_from_above(points_P4: NDArray[np.float32], ground_m: float) -> Cut:
    """Cut a scan parallel to the ground, `CUT_M` above it."""
    across = _centres(-REACH_M, REACH_M)
    height = ground_m + CUT_M
    x, y = np.meshgrid(across, across)
    near = points_P4[np.abs(points_P4[:, 2] - height) <= SLAB_M]
    places = np.stack([x, y, np.full_like(x, height)], axis=2)
    return Cut(places.astype(np.float32), (-REACH_M, REACH_M, -REACH_M, REACH_M), near[:, :2], (0, 0))


def cut_from_the_side(points_P4: NDArray[np.float32], ground_m: float, azimuth_rad: float) -> Cut:
    """Cut a scan upright through the sensor, along the direction of ``azimuth_rad`` from x towards y."""
    along, up = _centres(-REACH_M, REACH_M), _centres(-BELOW_M, ABOVE_M)
    a, z = np.meshgrid(along, up)
    direction = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad)])
    places = np.stack([a * direction[0], a * direction[1], z + ground_m], axis=2)
    offset_P = points_P4[:, :2] @ np.array([-direction[1], direction[0]])
    near = points_P4[np.abs(offset_P) <= SLAB_M]
    in_plane = np.column_stack([near[:, :2] @ direction, near[:, 2] - ground_m])
    return Cut(
        places.astype(np.float32), (-REACH_M, REACH_M, -BELOW_M, ABOVE_M), in_plane.astype(np.float32), (0, -ground_m)
    )


def ground_height(points_P4: NDArray[np.float32]) -> float:
    """Return the height that most points within `REACH_M` have, of those below the sensor, in steps of 0.1 m.

    Rings on the ground are the bulk of a scan's near points, and no wall has as many at one height; the vehicle's own
    roof is left out. Without a point below the sensor it is the sensor's own height.
    """
    range_P = np.hypot(points_P4[:, 0], points_P4[:, 1])
    ground = (range_P > _ROOF_M) & (range_P < REACH_M) & (points_P4[:, 2] < 0)
    steps = np.round(points_P4[ground, 2] / 0.1).astype(np.int64)
    if not len(steps):
        return 0.0
    heights, counts = np.unique(steps, return_counts=True)
    return 0.1 * float(heights[counts.argmax()])


def densest_azimuth(points_P4: NDArray[np.float32], ground_m: float) -> float:
    """Return the direction in [0, pi) along which an upright plane through the sensor meets most of what stands there.

    What stands there is above half a metre; the vehicle's own roof does not count.
    """
    range_P = np.hypot(points_P4[:, 0], points_P4[:, 1])
    standing = (points_P4[:, 2] > ground_m + 0.5) & (points_P4[:, 2] < ground_m + ABOVE_M)
    xy = points_P4[standing & (range_P > _ROOF_M) & (range_P < REACH_M), :2]
    azimuths = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    normals = np.stack([-np.sin(azimuths), np.cos(azimuths)])
    return float(azimuths[(np.abs(xy @ normals) <= SLAB_M).sum(axis=0).argmax()])


def ask_cut(survey: Survey, cut: Cut) -> NDArray[np.float32]:
    """Return the (R, C) probability that each cell is occupied, NaN where no point is near enough to be asked."""
    device = survey.position_Q3.device
    places_Q3 = torch.from_numpy(cut.places_RC3).reshape(-1, 3).to(device)
    with torch.no_grad():
        answers_Q2 = survey.ask(places_Q3, torch.zeros(len(places_Q3), dtype=torch.int64, device=device))
    return answers_Q2[:, 0].sigmoid().cpu().numpy().reshape(cut.places_RC3.shape[:2])


def draw_occupancy(pretrained: Pretrained, position: int, held_out: HeldOut | None, title: str) -> Figure:
    """Draw what a method takes for occupied in two cuts through one scan, beside the points near each cut.

    Args:
        pretrained: a method that shows ``occupancy``, and its scans.
        position: of the scan.
        held_out: measures of the same pre-training, to be printed; None prints those of this scan alone.
        title: what stands above.

    Raises:
        DataError: there is no such scan, or a file of it is missing or damaged.
    """
    step = pretrained.step(position)
    with torch.no_grad():
        survey = pretrained.method.survey(step)
        logit_Q = survey.ask(survey.position_Q3, survey.scan_Q)[:, 0]
    score = OccupancyAccuracy()
    score.update(logit_Q, survey.occupied_Q)
    frequent = f"always the more frequent answer: {_share(score.majority)}"
    said = [f"right on this scan's queries: {_share(score.accuracy)} ({frequent})"]
    if held_out is not None:
        values = held_out.measures
        said.append(
            f"on {held_out.num_scans} held-out scans: {_share(values.get('occupancy_accuracy'))}"
            f" ({_share(values.get('occupancy_majority_share'))})"
        )
    points_P4 = step.batch.points_P4.cpu().numpy()
    ground = ground_height(points_P4)
    azimuth = densest_azimuth(points_P4, ground)
    cuts = cut_from_above(points_P4, ground), cut_from_the_side(points_P4, ground, azimuth)
    return _draw_cuts(cuts, [ask_cut(survey, cut) for cut in cuts], azimuth, title, "; ".join(said))


def _draw_cuts(
    cuts: tuple[Cut, Cut], found: list[NDArray[np.float32]], azimuth_rad: float, title: str, note: str
) -> Figure:
    square, gap, left, head, foot = 4.2, 0.25, 0.65, 0.92, 0.5
    wide = 2 * square + gap
    high = wide * (BELOW_M + ABOVE_M) / (2 * REACH_M)
    size = (left + wide + 0.2, head + square + 2 * high + 1.3 + foot)
    above, side = cuts
    with rc_context(STYLE):
        figure = Figure(figsize=size, dpi=_DPI, facecolor="white")

        def place(x: float, y: float, across: float, down: float) -> Axes:
            return figure.add_axes((x / size[0], 1 - (y + down) / size[1], across / size[0], down / size[1]))

        figure.text(0.1 / size[0], 1 - 0.24 / size[1], title, fontsize=12, fontweight="bold", va="center")
        figure.text(0.1 / size[0], 1 - 0.52 / size[1], note, fontsize=8.5, va="center")
        slab = f"{CUT_M - SLAB_M:g} to {CUT_M + SLAB_M:g} m"
        points_above = place(left, head, square, square)
        _draw_points(points_above, above, f"from above: LiDAR points {slab} above the ground")
        occupied_above = place(left + square + gap, head, square, square)
        _draw_probability(
            occupied_above, above, found[0], f"probability that it is occupied {CUT_M:g} m above the ground"
        )
        occupied_above.set_yticklabels([])
        for axes in (points_above, occupied_above):
            axes.set_xlabel("x (m)", fontsize=8, labelpad=1)
        points_above.set_ylabel("y (m)", fontsize=8, labelpad=1)
        angle = f"{np.degrees(azimuth_rad):.0f}° from x towards y"
        y = head + square + 0.68
        points_side, occupied_side = place(left, y, wide, high), place(left, y + high + 0.3, wide, high)
        _draw_points(points_side, side, f"from the side, through the sensor along {angle}: points and probability")
        _draw_probability(occupied_side, side, found[1], "")
        points_side.set_xticklabels([])
        occupied_side.set_xlabel("metres from the sensor", fontsize=8, labelpad=1)
        for axes in (points_side, occupied_side):
            axes.set_ylabel("height (m)", fontsize=8, labelpad=1)
            axes.set_yticks([0, 2, 4])
        reach = REACH_M * np.array([np.cos(azimuth_rad), np.sin(azimuth_rad)])
        points_above.plot([-reach[0], reach[0]], [-reach[1], reach[1]], ":", color=FAINT, linewidth=1, zorder=1)
        scale = place(left + wide - 2.6, size[1] - 0.34, 2.6, 0.11)
        scale.imshow(np.linspace(0, 1, 256)[None], cmap=_PROBABILITY, aspect="auto", extent=(0, 1, 0, 1))
        scale.set(yticks=[], xticks=[0, 0.5, 1])
        _strip(scale)
        foot_note = "blank: no point near enough to be asked; dotted: the view from the side; ▲: the sensor"
        figure.text(left / size[0], 0.28 / size[1], foot_note, fontsize=8, color=FAINT, va="center")
        scale.text(-0.03, 0.5, "probability", ha="right", va="center", fontsize=8, color=INK)
    return figure


def _draw_points(axes: Axes, cut: Cut, heading: str) -> None:
    axes.scatter(cut.points_P2[:, 0], cut.points_P2[:, 1], s=2.2, c=INK, linewidths=0)
    _frame_cut(axes, cut, heading)


def _draw_probability(axes: Axes, cut: Cut, probability_RC: NDArray[np.float32], heading: str) -> None:
    axes.imshow(
        np.ma.masked_invalid(probability_RC),
        cmap=_PROBABILITY, vmin=0, vmax=1, origin="lower", extent=cut.extent, interpolation="nearest", zorder=1,
    )  # fmt: skip
    _frame_cut(axes, cut, heading)


def _frame_cut(axes: Axes, cut: Cut, heading: str) -> None:
    left, right, bottom, top = cut.extent
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.plot(*cut.sensor, marker="^", color="#D55E00", markersize=7, zorder=3)
    axes.set_title(heading, fontsize=8.5, pad=4)
    axes.tick_params(labelsize=8)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)


def _strip(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=8, pad=2)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _centres(low: float, high: float) -> NDArray[np.float64]:
    number = round((high - low) / CELL_M)
    return low + (np.arange(number) + 0.5) * CELL_M


def _as_images(images_I3hw: Tensor) -> NDArray[np.float32]:
    return images_I3hw.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()


def _error(value: float | None) -> str:
    return "n/a" if value is None or not np.isfinite(value) else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "n/a" if value is None or not np.isfinite(value) else f"{100 * value:.1f} %"
