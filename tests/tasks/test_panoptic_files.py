from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmcr.errors import DataError
from cmcr.tasks.panoptic_files import number_by_class, nuscenes_labels, semantic_kitti_labels


def test_a_scan_in_both_formats_by_hand() -> None:
    classes, instances = np.array([4, 4, 7, 11, 4, 7]), np.array([3, 3, 1, 0, 8, 0])
    labels = nuscenes_labels("scan", classes, instances)
    assert labels.tolist() == [4001, 4001, 7001, 11000, 4002, 7000]
    assert labels.dtype == np.uint16
    words = semantic_kitti_labels("scan", np.array([10, 10, 30, 40, 10, 30]), instances)
    assert words.tolist() == [10 | 3 << 16, 10 | 3 << 16, 30 | 1 << 16, 40, 10 | 8 << 16, 30]
    assert words.dtype == np.uint32


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_numbers_within_a_class_begin_at_one_and_tell_instances_apart(values: list[int]) -> None:
    instances = np.array(values)
    classes = np.where(instances > 0, 1 + instances % 3, 9)
    numbers = number_by_class(classes, instances)
    assert ((numbers == 0) == (instances == 0)).all()
    for kind in (1, 2, 3):
        mine = (classes == kind) & (instances > 0)
        pairs = sorted(set(zip(instances[mine].tolist(), numbers[mine].tolist(), strict=True)))
        assert [number for _, number in pairs] == list(range(1, len(pairs) + 1))


def test_the_last_number_that_fits_and_the_first_that_does_not() -> None:
    classes = np.full(999, 16)
    assert nuscenes_labels("scan", classes, np.arange(1, 1000)).max() == 16_999
    # A thousand instances fit if they are of two classes.
    assert nuscenes_labels("scan", np.repeat([1, 2], 500), np.arange(1, 1001)).max() == 2500
    with pytest.raises(DataError, match=r"(?s)scan abc.*instances from 0 to 999.*found:    1000.*max_instances"):
        nuscenes_labels("abc", np.full(1000, 4), np.arange(1, 1001))
    many = np.arange(1, 2**16)
    words = semantic_kitti_labels("scan", np.full(len(many), 10), many)
    assert (words >> 16 == many).all()
    assert (words & 0xFFFF == 10).all()
    with pytest.raises(DataError, match=r"(?s)instances from 0 to 65535.*found:    65536"):
        semantic_kitti_labels("abc", np.array([10]), np.array([2**16]))
    with pytest.raises(DataError, match="instances"):
        semantic_kitti_labels("abc", np.array([10]), np.array([-1]))
    with pytest.raises(DataError, match="categories"):
        semantic_kitti_labels("abc", np.array([2**16]), np.array([0]))
