"""Neighbour maps equal a dictionary's, and keys are one to one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_volumes import random_voxels

from cmcr.sparse.maps import (
    HIGHEST,
    MARGIN,
    SCAN_BITS,
    downsampling_map,
    pack,
    submanifold_map,
    unpack,
)

coordinate = st.tuples(st.integers(0, 2**SCAN_BITS - 1), *[st.integers(-HIGHEST, HIGHEST)] * 3)


@given(st.lists(coordinate, min_size=1, max_size=20))
def test_keys_are_one_to_one_and_keep_the_order(rows: list[tuple[int, ...]]):
    voxels = torch.tensor(rows, dtype=torch.int32)
    assert torch.equal(unpack(pack(voxels)), voxels)
    assert [rows[i] for i in torch.argsort(pack(voxels), stable=True)] == sorted(rows)


@pytest.mark.parametrize(
    "bad", [(0, HIGHEST + 1, 0, 0), (0, 0, 0, -HIGHEST - 1), (-1, 0, 0, 0), (2**SCAN_BITS, 0, 0, 0)]
)
def test_coordinates_out_of_range_are_refused(bad: tuple[int, ...]):
    with pytest.raises(ValueError, match="is the voxel size right"):
        pack(torch.tensor([bad], dtype=torch.int32))


def test_the_lowest_integer_is_refused():
    with pytest.raises(ValueError, match="must lie within"):
        pack(torch.tensor([[0, -(2**31), 0, 0]], dtype=torch.int32))


def offsets(low: int, high: int) -> list[tuple[int, int, int]]:
    """Return the (x, y, z) from low to high, x fastest."""
    side = range(low, high + 1)
    return [(x, y, z) for z in side for y in side for x in side]


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 80),
    side=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    kernel_size=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 4]),
)
def test_submanifold_map_equals_a_dictionary(number: int, side: int, seed: int, kernel_size: int, stride: int):
    voxels = random_voxels(number=number, side=side, scans=2, seed=seed, low=-2) * torch.tensor([1, *[stride] * 3])
    keys, order = torch.sort(pack(voxels))
    found = submanifold_map(keys, order, kernel_size, stride)
    row = {tuple(voxel): number for number, voxel in enumerate(voxels.tolist())}
    for k, (x, y, z) in enumerate(offsets(-(kernel_size // 2), kernel_size // 2)):
        expected = {
            (row[scan, a + x * stride, b + y * stride, c + z * stride], target)
            for (scan, a, b, c), target in row.items()
            if (scan, a + x * stride, b + y * stride, c + z * stride) in row and (x, y, z) != (0, 0, 0)
        }
        pairs = list(zip(found.source[k].tolist(), found.target[k].tolist(), strict=True))
        assert set(pairs) == expected
        assert len(pairs) == len(expected)
    assert (found.centre, found.num_sources, found.num_targets) == (kernel_size**3 // 2, len(voxels), len(voxels))


def test_neighbours_across_the_bounds_are_nobody():
    """The voxel beyond one end of an axis is not the one at the other end of the next row."""
    ends = [(0, 0, 0, HIGHEST), (0, 0, 1, -HIGHEST), (0, 0, HIGHEST, 0), (0, 1, -HIGHEST, 0), (1, -HIGHEST, 0, 0)]
    keys, order = torch.sort(pack(torch.tensor(ends, dtype=torch.int32)))
    assert submanifold_map(keys, order, 3, MARGIN).sizes == [0] * 27
    with pytest.raises(ValueError, match="a kernel of 3 at stride 65 reaches beyond 64 finest voxels"):
        submanifold_map(keys, order, 3, MARGIN + 1)


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(1, 80),
    seed=st.integers(0, 2**31),
    factor=st.sampled_from([2, 3]),
    stride=st.sampled_from([1, 2]),
)
def test_downsampling_map_equals_a_dictionary(number: int, seed: int, factor: int, stride: int):
    voxels = random_voxels(number=number, side=9, scans=2, seed=seed, low=-4) * torch.tensor([1, *[stride] * 3])
    keys, found = downsampling_map(voxels, stride, factor)
    coarse = unpack(keys).tolist()
    wide = factor * stride
    assert coarse == [list(c) for c in sorted({(s, *(v // wide * wide for v in xyz)) for s, *xyz in voxels.tolist()})]
    seen = []
    for (x, y, z), source, target in zip(offsets(0, factor - 1), found.source, found.target, strict=True):
        for row, parent in zip(source.tolist(), target.tolist(), strict=True):
            scan, a, b, c = coarse[parent]
            assert voxels[row].tolist() == [scan, a + x * stride, b + y * stride, c + z * stride]
            seen.append(row)
    assert sorted(seen) == list(range(len(voxels)))
    assert (found.centre, found.num_sources, found.num_targets) == (None, len(voxels), len(coarse))


def test_pairs_are_grouped_by_row_and_in_a_row_by_offset():
    """Three fine voxels, the first and last in one coarse voxel: worked by hand."""
    voxels = torch.tensor([[0, 0, 0, 1], [0, 2, 0, 0], [0, 1, 0, 0]], dtype=torch.int32)
    _, down = downsampling_map(voxels, 1, 2)
    assert down.sizes == [1, 1, 0, 0, 1, 0, 0, 0]  # corner 0: voxel 1; corner 1 (x): voxel 2; corner 4 (z): voxel 0
    assert down.by_target.pair.tolist() == [1, 2, 0]
    assert down.by_target.start.tolist() == [0, 2]
    assert down.transposed.by_target.pair.tolist() == [2, 0, 1]
    assert down.transposed.by_target.start.tolist() == [0, 1, 2]
