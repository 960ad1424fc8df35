"""A picture of a panoptic prediction: one scan from above, coloured by instance, prediction beside ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cmcr.data.batches import ScanDataset, collate
from cmcr.data.index import ScanIndex
from cmcr.data.scan import IGNORE, VOID, Scan
from cmcr.errors import ConfigError, DataError
from cmcr.pictures import draw_from_above
from cmcr.results.style import FAINT, STYLE
from cmcr.tasks.model import load_model
from cmcr.tasks.panoptic import PanopticPrediction, PanopticTask

#: Of points without an instance, and of instances without a partner.
_STUFF, _ALONE = np.array([0.27, 0.29, 0.33]), np.ones(3)
#: Neighbours in a list of hues a golden section of the circle apart look different, however long the list is.
_GOLDEN = 0.618034
#: In inches: side of a view, margins, and the head with its title.
_SIDE, _MARGIN, _HEAD = 6.0, 0.3, 0.8
_DPI = 100


def draw_panoptic(model_path: Path, index: ScanIndex, position: int, title: str) -> Figure:
    """Draw one labelled scan.

    Args:
        model_path: a panoptic model, as fine-tuning wrote it.
        index: a split with panoptic labels.
        position: of the scan in it.
        title: what stands above.

    Raises:
        ConfigError: the model is for another task.
        DataError: there is no such scan, it has no panoptic labels, or one of its files is missing or damaged.
        WeightsError: the model is missing, damaged, or for other classes.
    """
    if not 0 <= position < len(index):
        raise DataError(f"{index.dataset}, split {index.split}: no scan {position}; there are {len(index)}, from 0")
    model, job = load_model(model_path, index)
    if not isinstance(model.task, PanopticTask):
        raise ConfigError(f"{model_path}\n  expected: a panoptic model\n  found:    one for {job.task}")
    PanopticTask.check(index, [position])
    batch = collate([ScanDataset(index, [position], job.voxels)[0]])
    with torch.no_grad():
        prediction = model.task.predict(model(batch), batch)
    return draw_segments(index.read(position), prediction, title)


def draw_segments(scan: Scan, prediction: PanopticPrediction, title: str) -> Figure:
    """Draw the true and the predicted instances of a scan; partners have one colour.

    Args:
        scan: P points with labels and instances.
        prediction: its segments.
        title: what stands above.
    """
    if scan.labels is None or scan.instances is None:
        raise ValueError(f"scan {scan.token} has no panoptic labels")
    counts_P = (scan.labels != IGNORE) & (scan.instances != VOID)
    true_P = np.where(counts_P, scan.instances.astype(np.int64), 0).clip(min=0)
    predicted_P = np.where(counts_P, prediction.instance_P, 0)
    partner = partners(predicted_P, true_P, prediction.class_P, scan.labels.astype(np.int64))
    # From left to right, so that neighbours have different hues.
    numbers = [number for number in np.unique(true_P) if number]
    numbers.sort(key=lambda number: float(scan.points[true_P == number, 0].mean()))
    hue: dict[int, NDArray[np.float64]] = {
        number: hsv_to_rgb((place * _GOLDEN % 1, 0.75, 1.0)) for place, number in enumerate(numbers)
    }
    found = set(partner.values())
    true_colours = {number: hue[number] if number in found else _ALONE for number in numbers}
    predicted_colours = {one: hue[other] for one, other in partner.items()}
    views: list[tuple[str, NDArray[np.int64], dict[int, NDArray[np.float64]]]]
    views = [("ground truth", true_P, true_colours), ("prediction", predicted_P, predicted_colours)]
    width, height = 3 * _MARGIN + 2 * _SIDE, _HEAD + _SIDE + _MARGIN + 0.15
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
        for place, (name, instance_P, colours) in enumerate(views):
            left = _MARGIN + place * (_SIDE + _MARGIN)
            axes = figure.add_axes((left / width, 1 - (_HEAD + _SIDE) / height, _SIDE / width, _SIDE / height))
            colour_P3 = np.tile(_STUFF, (len(instance_P), 1))
            shown = np.unique(instance_P[instance_P > 0])
            for instance in shown:
                colour_P3[instance_P == instance] = colours.get(instance, _ALONE)
            draw_from_above(axes, scan, colour_P3)
            what = f"{name}: {len(shown)} instances"
            figure.text(left / width, 1 - (_HEAD - 0.15) / height, what, va="center", fontsize=10)
        figure.text(_MARGIN / width, 1 - 0.3 / height, title, fontsize=14, fontweight="bold", va="center")
        note = f"{len(partner)} match (same class, IoU above 1/2) and share a colour; white: no partner; grey: stuff"
        figure.text(_MARGIN / width, 0.2 / height, note, fontsize=8, color=FAINT, va="center")
    return figure


def partners(
    predicted_P: NDArray[np.int64],
    true_P: NDArray[np.int64],
    class_P: NDArray[np.int64],
    true_class_P: NDArray[np.int64],
) -> dict[int, int]:
    """Return the true instance of each predicted one with the same class and an IoU above one half.

    Args:
        predicted_P: (P,) predicted instances, 0 for none.
        true_P: (P,) true ones.
        class_P: (P,) predicted classes.
        true_class_P: (P,) true ones.
    """
    found: dict[int, int] = {}
    for predicted in np.unique(predicted_P[predicted_P > 0]):
        mine = predicted_P == predicted
        candidates, shared = np.unique(true_P[mine & (class_P == true_class_P)], return_counts=True)
        for true, common in zip(candidates, shared, strict=True):
            if true and common / (mine | (true_P == true)).sum() > 0.5:
                found[int(predicted)] = int(true)
    return found
