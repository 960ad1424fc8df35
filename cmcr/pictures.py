"""A picture of what a network has learned from images: one scan, its cameras, its paired points and their features.

Each camera is shown twice, its paired points coloured by depth and, below, by their learned features; beside them lies
the whole scan as seen from above. A feature's colour is its first three principal components as red, green and blue.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from PIL import Image

from cmcr.data.batches import ScanDataset, collate
from cmcr.data.images import read_resized
from cmcr.data.index import ScanIndex
from cmcr.data.pairs import Pairs, pair_points_with_pixels
from cmcr.data.range_grid import RangeGrid, fill_cells
from cmcr.data.scan import Camera, Scan
from cmcr.errors import DataError
from cmcr.files import atomic_path
from cmcr.models.backbone import load_backbone, point_features
from cmcr.pretrain.job import PretrainJob
from cmcr.results.style import INK, STYLE

#: Left to right as a passenger sees them, those that look ahead first; nuScenes' names.
_PLACES = ("FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT")
_COLUMNS = 3
_NIGHT = "#0D1117"
#: Depths at the ends of the colour scale, in metres, and half the side of the view from above.
_NEAREST, _FARTHEST, _REACH = 3.0, 60.0, 45.0
#: Of a colour channel of a feature, so that it stands out against the night.
_DARKEST = 0.15
#: Near is red and far is blue; the dark ends of the map would be lost on a photograph.
_DEPTHS = ListedColormap(colormaps["turbo"](np.linspace(0.92, 0.08, 256)), name="depths")
#: In inches: width of an image, the gaps between images and between blocks, margins, and the head with its title.
_IMAGE, _GAP, _BLOCK, _MARGIN, _HEAD = 3.0, 0.05, 0.2, 0.3, 0.85
#: Width of what stands above the images, where there is but one column of them.
_LEAST_LEFT = 5.4
_DPI = 100


def draw_pretraining(weights: Path, job: PretrainJob, index: ScanIndex, position: int, title: str) -> Figure:
    """Draw one scan with the features of a pre-trained backbone.

    Args:
        weights: the backbone, as pre-training wrote it.
        job: its pre-training; network, voxels and the rule of pairing are taken from it.
        index: a split with images.
        position: of the scan in it.
        title: what stands above.

    Raises:
        DataError: there is no such scan, it has no images, or one of its files is missing or damaged.
        WeightsError: the weights are missing or do not fit ``job``.
    """
    if not 0 <= position < len(index):
        raise DataError(f"{index.dataset}, split {index.split}: no scan {position}; there are {len(index)}, from 0")
    backbone, _ = load_backbone(weights, job.backbone, job.voxels)
    batch = collate([ScanDataset(index, [position], job.voxels, with_labels=False)[0]])
    with torch.no_grad():
        voxel_VC = point_features(backbone.eval(), batch)
    scan = index.read(position, with_labels=False)
    if isinstance(job.voxels, RangeGrid):
        scan = scan.select(fill_cells(scan.points, job.voxels).cell_P >= 0)
    if not scan.cameras:
        raise DataError(f"scan {scan.token} of {index.dataset} has no images to draw on")
    pairs = pair_points_with_pixels(scan.points, scan.cameras, job.images.min_depth_m)
    colour_P3 = principal_colours(voxel_VC.numpy())[batch.voxel_P.numpy()]
    return draw_features(scan, pairs, colour_P3, title, f"{voxel_VC.shape[1]} features of the backbone")


def principal_colours(features_VC: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (V, 3) colours in [0, 1]: the first three principal components of (V, C) features.

    Features are brought to length one first, because the contrast compares directions. Each component runs from its
    5th to its 95th percentile, so that a few odd voxels do not grey out all others, and none gets darker than the night
    it is drawn on. A component's sign, which the mathematics leaves open, is that which makes its largest weight
    positive: the same features always get the same colours. Components beyond the features' rank are a mid grey.
    """
    rows = features_VC.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    rows -= rows.mean(axis=0)
    variance, direction = np.linalg.eigh(rows.T @ rows / len(rows))
    variance, direction = variance[::-1][:3], direction[:, ::-1][:, :3]
    direction = direction * np.sign(direction[np.abs(direction).argmax(axis=0), np.arange(direction.shape[1])])
    component = rows @ direction
    low, high = np.percentile(component, (5, 95), axis=0)
    is_real = (variance > 1e-9) & (high > low)
    scaled = np.clip((component - low) / np.where(is_real, high - low, 1), 0, 1)
    colours = np.full((len(rows), 3), 0.5)
    colours[:, : component.shape[1]] = np.where(is_real, scaled, 0.5)
    return _DARKEST + (1 - _DARKEST) * colours


def draw_features(
    scan: Scan, pairs: Pairs, colour_P3: NDArray[np.float64], title: str, coloured_by: str = "features"
) -> Figure:
    """Draw a scan.

    Args:
        scan: P points and their cameras.
        pairs: which pixel sees which point.
        colour_P3: (P, 3) red, green, blue of each point in [0, 1].
        title: what stands above.
        coloured_by: what the colours are made of, for the line below the title.
    """
    order = in_order(scan.cameras)
    blocks = -(-len(order) // _COLUMNS)
    columns = min(len(order), _COLUMNS)
    height = _IMAGE * max(camera.size[0] / camera.size[1] for camera in scan.cameras)
    start, left = 2 * _MARGIN, max(columns * (_IMAGE + _GAP) - _GAP, _LEAST_LEFT)
    tall = blocks * (2 * height + _GAP) + (blocks - 1) * _BLOCK
    side = max(tall, 5.5)
    size = (3 * _MARGIN + left + _BLOCK + side, _HEAD + side + _MARGIN)
    with rc_context(STYLE):
        figure = Figure(figsize=size, dpi=_DPI, facecolor="white")

        def place(x: float, y: float, width: float, high: float) -> Axes:
            """Add axes, in inches from the left and from the top."""
            return figure.add_axes((x / size[0], 1 - (y + high) / size[1], width / size[0], high / size[1]))

        def write(x: float, y: float, text: str, **look: Any) -> None:
            """Add text, likewise."""
            figure.text(x / size[0], 1 - y / size[1], text, va="center", **look)

        for number, camera in enumerate(order):
            row, column = divmod(number, columns)
            x, y = start + column * (_IMAGE + _GAP), _HEAD + row * (2 * height + _GAP + _BLOCK)
            below = y + height + _GAP
            upper, lower = (place(x, top, _IMAGE, height) for top in (y, below))
            _draw_camera(upper, lower, scan, pairs, camera, colour_P3)
            if column == 0:
                write(start - _MARGIN / 2, y + height / 2, "depth", rotation=90, ha="center")
                write(start - _MARGIN / 2, below + height / 2, "features", rotation=90, ha="center")
        draw_from_above(place(start + left + _BLOCK, _HEAD, side, side), scan, colour_P3)
        _draw_scale(place(start + left - 2.4, 0.56, 2.4, 0.09))
        write(start, 0.34, title, fontsize=14, fontweight="bold")
        write(start, 0.62, f"{len(pairs):,} pairs of point and pixel")
        what = f"first three principal components of the {coloured_by}"
        write(start + left + _BLOCK, 0.62, f"{len(scan.points):,} points; colour: {what}")
    return figure


def camera_label(camera: Camera) -> str:
    """Return a camera's name for print."""
    return camera.name.removeprefix("CAM_").replace("_", " ").lower()


def in_order(cameras: Sequence[Camera]) -> list[int]:
    """Return the cameras' numbers in the order in which they are shown; unknown names stay where they are."""
    names = [camera.name.removeprefix("CAM_") for camera in cameras]
    return sorted(range(len(names)), key=lambda n: _PLACES.index(names[n]) if names[n] in _PLACES else n)


def forward_up(scan: Scan) -> NDArray[np.float32]:
    """Return (P, 2) x y of the points, turned by quarters until the first camera, which looks ahead, looks along y.

    LiDAR frames differ: nuScenes' has y forward, KITTI's x. Without a camera nothing says, and nothing is turned.
    """
    if not scan.cameras:
        return scan.points[:, :2]
    ahead_x, ahead_y = scan.cameras[0].camera_from_lidar[2, :2]
    quarters = round((np.pi / 2 - np.arctan2(ahead_y, ahead_x)) / (np.pi / 2)) % 4
    x, y = scan.points[:, :2].T
    for _ in range(quarters):
        x, y = -y, x
    return np.stack([x, y], axis=1)


def _draw_camera(
    depth_axes: Axes, feature_axes: Axes, scan: Scan, pairs: Pairs, number: int, colour_P3: NDArray[np.float64]
) -> None:
    camera = scan.cameras[number]
    mine = pairs.select(pairs.camera == number)
    depth = scan.points[mine.point, :3] @ camera.camera_from_lidar[2, :3] + camera.camera_from_lidar[2, 3]
    far_first = np.argsort(-depth, kind="stable")
    mine, depth = mine.select(far_first), depth[far_first]
    width = round(_IMAGE * _DPI)
    shown = (round(width * camera.size[0] / camera.size[1]), width)
    grey = read_resized(camera, shown).astype(np.float64) @ (0.299, 0.587, 0.114)
    near = _DEPTHS(LogNorm(_NEAREST, _FARTHEST, clip=True)(depth))[:, :3]
    for axes, colours, light in ((depth_axes, near, 0.75), (feature_axes, colour_P3[mine.point], 0.45)):
        axes.imshow(
            grey * light, cmap="gray", vmin=0, vmax=255, extent=(0, camera.size[1], camera.size[0], 0), aspect="auto"
        )
        axes.scatter(mine.column + 0.5, mine.row + 0.5, s=_dot(len(mine)), c=colours, linewidths=0)
        axes.set(xlim=(0, camera.size[1]), ylim=(camera.size[0], 0))
        axes.set_axis_off()
    depth_axes.text(
        0.02, 0.95, camera_label(camera), transform=depth_axes.transAxes, va="top", color="white", fontweight="bold"
    )


def _dot(points: float) -> float:
    """Return the area of a point's mark in square points, where so many lie on an image: 2.2 for nuScenes' 3,700."""
    return float(np.clip(2.2 * np.sqrt(3700 / max(points, 1)), 2.0, 5.0))


def draw_from_above(axes: Axes, scan: Scan, colour_P3: NDArray[np.float64]) -> None:
    """The scan from above, forward up and low points first, with a bar of ten metres."""
    order = np.argsort(scan.points[:, 2], kind="stable")
    x, y = forward_up(scan)[order].T
    axes.set_facecolor(_NIGHT)
    axes.scatter(x, y, s=_dot(len(order) / 8), c=colour_P3[order], linewidths=0)
    axes.add_patch(Polygon([(-1, -1.6), (0, 2.2), (1, -1.6)], closed=True, facecolor="white", edgecolor=_NIGHT))
    start = -_REACH + 4
    axes.plot([start, start + 10], [start, start], color="white", linewidth=2, solid_capstyle="butt")
    axes.text(start + 5, start + 1, "10 m", color="white", ha="center", va="bottom")
    axes.set(xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_scale(axes: Axes) -> None:
    """What the colours of depth mean."""
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_DEPTHS, aspect="auto", extent=(0, 1, 0, 1))
    marks = np.array([3, 5, 10, 20, 40, 60])
    axes.set(yticks=[], xticks=LogNorm(_NEAREST, _FARTHEST)(marks), xticklabels=[f"{mark}" for mark in marks])
    axes.tick_params(axis="x", length=0, pad=2, labelsize=8, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(-0.03, 0.5, "depth (m)", ha="right", va="center", color=INK)


def write_picture(path: Path | str, figure: Figure, *, points_first: bool = True) -> None:
    """Write a figure as PNG with a palette of 256 colours, atomically; the same figure gives the same bytes.

    Photographs in full colour would make a file three times as large.

    Args:
        path: the file.
        figure: the figure.
        points_first: whether coloured points on grey photographs get most of the palette; False shares it out by area.
    """
    with rc_context(STYLE), io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi="figure")
        image = Image.open(buffer).convert("RGB")
    if points_first:
        few = image.quantize(palette=_palette(image), dither=Image.Dither.NONE)
    else:
        few = image.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=4, dither=Image.Dither.NONE)
    with atomic_path(path) as temporary:
        few.save(temporary, format="PNG", optimize=True)


def _palette(image: Image.Image) -> Image.Image:
    """Choose 56 greys, the night, and of what is colourful the 199 most useful colours.

    Chosen from the whole image, nearly all would go to its dark greys, and points, which are few pixels, would pale.
    """
    pixels = np.asarray(image).reshape(-1, 3)
    colourful = pixels[np.ptp(pixels, axis=1) > 40]
    # Pillow looks for the nearest colour in steps of four or eight: with a grey of 250 white would turn into that.
    greys = np.append(np.linspace(0, 240, 55), 255).astype(int).repeat(3)
    chosen = [*greys.tolist(), *(round(255 * channel) for channel in to_rgb(_NIGHT))]
    if len(colourful):
        found = Image.fromarray(colourful[None]).quantize(199, method=Image.Quantize.MEDIANCUT)
        chosen += found.getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen)
    return palette
