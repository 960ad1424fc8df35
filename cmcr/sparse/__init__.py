"""Sparse convolution: one interface, an engine for each kind of device, one weight layout."""

from cmcr.sparse.modules import SparseConv3d, SparseTransposedConv3d, SubmanifoldConv3d, concatenate
from cmcr.sparse.tensor import SparseTensor

__all__ = ["SparseConv3d", "SparseTensor", "SparseTransposedConv3d", "SubmanifoldConv3d", "concatenate"]
