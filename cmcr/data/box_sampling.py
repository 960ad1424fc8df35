"""Things from other labelled scans put into a scan, so that few labels go further (SECOND, Sensors 2018, 3.4.1).

Only scans whose labels may be used take part: a database made of the whole training split would hand a network that is
said to learn from 5 % of the labels all the others through the back door.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from cmcr.boxes.boxes3d import Boxes3D, join, points_in_box
from cmcr.boxes.overlap import bev_iou
from cmcr.data.augment import PointAugmentation, augment_points
from cmcr.data.box_classes import BOX_CLASSES
from cmcr.data.index import ScanIndex
from cmcr.data.scan import Scan
from cmcr.errors import DataError
from cmcr.options import Options


class BoxSamplingOptions(Options):
    """How many things a scan is filled up with; the defaults are SECOND's on KITTI.

    (OpenPCDet@8caccce, tools/cfgs/dataset_configs/kitti_dataset.yaml, ``gt_sampling``; without its road planes, which
    are a download of their own, and with the things of unknown difficulty, which it leaves out.)
    """

    wanted: dict[str, NonNegativeInt] = Field(default={"Car": 20, "Pedestrian": 15, "Cyclist": 15})
    """Things of each class that a scan should hold; those it lacks are put in, where they find room."""
    min_points: PositiveInt = 5
    """Things with fewer returns are not kept."""


class Thing(NamedTuple):
    """One labelled thing.

    Attributes:
        token: of the scan it was taken from.
        box_7: where it was; see `cmcr.boxes.boxes3d.Boxes3D`.
        class_number: its class.
        velocity_2: metres a second, NaN where it is not known.
        points_P4: its returns, in the LiDAR frame of its scan.
    """

    token: str
    box_7: NDArray[np.float64]
    class_number: int
    velocity_2: NDArray[np.float64]
    points_P4: NDArray[np.float32]


class BoxDatabase:
    """The things of the labelled scans, by class.

    Attributes:
        tokens: the scans that it was made of, all of them.
        things: those of each class number.
    """

    def __init__(self, index: ScanIndex, labelled: Sequence[int], options: BoxSamplingOptions):
        """Read the labelled scans and cut their things out.

        Args:
            index: the training split.
            labelled: positions in it whose labels may be used; no other scan is opened.
            options: which things are kept.

        Raises:
            DataError: a labelled scan has no boxes, or the options name a class that the data set does not have.
        """
        classes = BOX_CLASSES[index.reader]
        unknown = options.wanted.keys() - set(classes)
        if unknown:
            raise DataError(
                f"things of {', '.join(sorted(unknown))} are to be sampled\n"
                f"  expected: classes of {index.dataset}: {', '.join(classes)}\n"
                f"  found:    others\n  way out:  name them as the data set does"
            )
        self.options = options
        self.wanted = {classes.index(name) + 1: number for name, number in options.wanted.items()}
        self.tokens = tuple(index.records[position].token for position in labelled)
        self.things: dict[int, list[Thing]] = {number: [] for number in self.wanted}
        for position in labelled:
            scan = index.read(position)
            for thing in cut_out(scan):
                if thing.class_number in self.things and len(thing.points_P4) >= options.min_points:
                    self.things[thing.class_number].append(thing)

    def fill(self, scan: Scan, rng: np.random.Generator) -> Scan:
        """Put things into a scan, each where it was in its own, unless something stands there.

        Returns inside the box of a new thing are taken away. Labels and instances of points are given up, and pairs
        with pixels would be wrong: the images do not show what was put in.

        Args:
            scan: with boxes.
            rng: draws the things; how many numbers it draws depends on the database and on the scan.

        Raises:
            DataError: the scan has no boxes.
        """
        boxes = _boxes(scan)
        chosen: list[Thing] = []
        for class_number, wanted in self.wanted.items():
            things = self.things[class_number]
            missing = max(wanted - int(np.count_nonzero(boxes.classes == class_number)), 0)
            for number in rng.permutation(len(things))[:missing].tolist():
                thing = things[number]
                standing = (
                    np.concatenate([boxes.geometry, [other.box_7 for other in chosen]]) if chosen else boxes.geometry
                )
                overlap = bev_iou(torch.from_numpy(thing.box_7[None]), torch.from_numpy(standing))
                if not bool((overlap > 0).any()):
                    chosen.append(thing)
        free = np.ones(len(scan.points), dtype=bool)
        for thing in chosen:
            free &= ~points_in_box(scan.points, thing.box_7)
        added = Boxes3D(
            np.array([thing.box_7 for thing in chosen]).reshape(-1, 7),
            np.array([thing.class_number for thing in chosen], dtype=np.int64),
            None if boxes.velocity is None else np.array([thing.velocity_2 for thing in chosen]).reshape(-1, 2),
            None if boxes.num_points is None else np.array([len(thing.points_P4) for thing in chosen], dtype=np.int64),
        )
        points = np.concatenate([scan.points[free], *(thing.points_P4 for thing in chosen)])
        return dataclasses.replace(scan, points=points, boxes=join([boxes, added]), labels=None, instances=None)


def cut_out(scan: Scan) -> list[Thing]:
    """Return the things of a scan with the returns inside their boxes.

    Raises:
        DataError: the scan has no boxes.
    """
    boxes = _boxes(scan)
    unknown = np.full((len(boxes), 2), np.nan)
    velocity = unknown if boxes.velocity is None else boxes.velocity
    return [
        Thing(scan.token, box, number, speed, scan.points[points_in_box(scan.points, box)])
        for box, number, speed in zip(boxes.geometry, boxes.classes.tolist(), velocity, strict=True)
    ]


def augment_scan(scan: Scan, options: PointAugmentation, rng: np.random.Generator) -> Scan:
    """Turn, mirror and scale the points of a scan, and its boxes with them; see `augment_points`.

    What the cameras saw of it is not changed.
    """
    points, matrix = augment_points(scan.points, options, rng)
    boxes = None if scan.boxes is None else scan.boxes.changed(matrix)
    return dataclasses.replace(scan, points=points, boxes=boxes)


def _boxes(scan: Scan) -> Boxes3D:
    if scan.boxes is None:
        raise DataError(
            f"scan {scan.token} of {scan.dataset} has no boxes\n  expected: labelled boxes, if only none of them\n"
            "  found:    none were read\n  way out:  use a split with box labels"
        )
    return scan.boxes
