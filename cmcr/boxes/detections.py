"""What a detector found in one scan."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from cmcr.boxes.boxes3d import Boxes3D


class Detections(NamedTuple):
    """N boxes of one scan, the highest score first.

    Attributes:
        boxes_N7: (N, 7) as in `cmcr.boxes.overlap`.
        scores_N: (N,) in [0, 1].
        classes_N: (N,) int64 from 1.
        velocity_N2: (N, 2) metres a second, or None.
    """

    boxes_N7: Tensor
    scores_N: Tensor
    classes_N: Tensor
    velocity_N2: Tensor | None = None

    def as_boxes(self) -> Boxes3D:
        """Return them without scores."""
        velocity = None if self.velocity_N2 is None else self.velocity_N2.double().cpu().numpy()
        geometry = self.boxes_N7.double().cpu().numpy()
        return Boxes3D(geometry, self.classes_N.cpu().numpy().astype(np.int64), velocity)
