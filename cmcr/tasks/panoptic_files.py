"""Panoptic predictions as the challenges want them: one number for each point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmcr.errors import DataError

#: The instances of one class in a scan: three decimal digits on nuScenes, the upper 16 bits on SemanticKITTI.
NUSCENES_INSTANCES = 999
SEMANTIC_KITTI_INSTANCES = 2**16 - 1


def number_by_class(class_P: NDArray[np.int64], instance_P: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (P,) instances numbered from 1 within each class, in the order of their numbers in the scan.

    Args:
        class_P: (P,) class of each point; all points of an instance have the same.
        instance_P: (P,) instance within the scan, 0 for none.
    """
    instance_N, first_N, inverse_P = np.unique(instance_P, return_index=True, return_inverse=True)
    number_N = np.zeros(len(instance_N), dtype=np.int64)
    class_N = np.where(instance_N > 0, class_P[first_N], -1)
    for number in np.unique(class_N[class_N >= 0]):
        mine = class_N == number
        number_N[mine] = np.arange(1, mine.sum() + 1)
    return number_N[inverse_P]


def nuscenes_labels(scan: str, class_P: NDArray[np.int64], instance_P: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return (P,) ``1000 * class + instance`` of the panoptic nuScenes challenge (devkit, eval/panoptic/README.md).

    Args:
        scan: token of the scan, for messages.
        class_P: (P,) class of the challenge, 1 to 16.
        instance_P: (P,) instance within the scan, 0 for none.

    Raises:
        DataError: a class has more instances than the format can number.
    """
    number_P = number_by_class(class_P, instance_P)
    _check(scan, number_P, NUSCENES_INSTANCES)
    return (1000 * class_P + number_P).astype(np.uint16)


def semantic_kitti_labels(
    scan: str, category_P: NDArray[np.integer], instance_P: NDArray[np.integer]
) -> NDArray[np.uint32]:
    """Return (P,) label words of SemanticKITTI: the instance in the upper 16 bits, the category in the lower.

    Args:
        scan: name of the scan, for messages.
        category_P: (P,) annotated category (the data set's own number, such as 10 for a car), not the training class.
        instance_P: (P,) instance within the scan, 0 for none.

    Raises:
        DataError: a category or an instance does not fit into 16 bits.
    """
    _check(scan, instance_P, SEMANTIC_KITTI_INSTANCES)
    _check(scan, category_P, 2**16 - 1, "categories")
    return (category_P.astype(np.int64) | instance_P.astype(np.int64) << 16).astype(np.uint32)


def _check(scan: str, numbers_P: NDArray[np.integer], most: int, what: str = "instances") -> None:
    low, high = (int(numbers_P.min()), int(numbers_P.max())) if len(numbers_P) else (0, 0)
    if low < 0 or high > most:
        raise DataError(
            f"scan {scan}\n  expected: {what} from 0 to {most}, which is what the format can number\n"
            f"  found:    {high if high > most else low}\n"
            "  way out:  predict fewer of them, for example with a lower tasks.panoptic.<id>.options.max_instances"
        )
