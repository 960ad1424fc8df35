"""What a sparse tensor refuses, and what its relatives share."""

from __future__ import annotations

import pytest
import torch

from cmcr.sparse import SparseTensor

VOXELS = torch.tensor([[0, 4, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.int32)


@pytest.mark.parametrize(
    ("features", "coordinates", "stride", "complaint"),
    [
        (torch.ones(2, 1), VOXELS, 1, r"found \(2, 1\) and \(3, 4\)"),
        (torch.ones(3), VOXELS, 1, r"found \(3,\) and \(3, 4\)"),
        (torch.ones(3, 1), VOXELS[:, 1:], 1, r"found \(3, 1\) and \(3, 3\)"),
        (torch.ones(3, 1), VOXELS.float(), 1, "expected integer coordinates, found torch.float32"),
        (torch.ones(4, 1), VOXELS[[0, 1, 2, 0]], 1, "two rows have the same scan, x, y and z; voxelise first"),
        (torch.ones(3, 1), VOXELS, 8, "expected coordinates in multiples of the stride, 8"),
        (torch.ones(3, 1), VOXELS * 20_000, 1, "is the voxel size right"),
    ],
)
def test_refused(features: torch.Tensor, coordinates: torch.Tensor, stride: int, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        SparseTensor(features, coordinates, stride)


def test_features_of_another_length_are_refused_later_too():
    with pytest.raises(ValueError, match=r"found \(2, 1\) and \(3, 4\)"):
        SparseTensor(torch.ones(3, 1), VOXELS).replace(torch.ones(2, 1))


def test_relatives_share_voxels_and_cache():
    x = SparseTensor(torch.ones(3, 1), VOXELS)
    y = x.replace(torch.ones(3, 7))
    assert y.cache is x.cache
    assert y.at_stride(1, torch.ones(3, 2)).coordinates is VOXELS
    assert len(y) == 3


def test_two_inputs_share_nothing():
    assert SparseTensor(torch.ones(3, 1), VOXELS).cache is not SparseTensor(torch.ones(3, 1), VOXELS).cache
