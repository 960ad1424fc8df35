"""Rows and sums over all processes of a distributed run. In a run of one process they are its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor


def summed_over_processes(x: Tensor) -> Tensor:
    """Return the sum of every process's ``x``, of the same shape in all, with gradients to each of them.

    The gradient that a process gets is the sum over the losses of all processes. Where all compute one loss from such
    sums, DDP's mean of the parameters' gradients is therefore the gradient of that loss.
    """
    return _Sum.apply(x) if _are_several() else x


def gathered_over_processes(rows_NC: Tensor) -> Tensor:
    """Return the (N, C) rows of all processes, those of the first one first; their numbers may differ.

    Gradients are those of `summed_over_processes`.
    """
    if not _are_several():
        return rows_NC
    rank, number = torch.distributed.get_rank(), torch.distributed.get_world_size()
    counts_W = torch.zeros(number, dtype=torch.int64, device=rows_NC.device)
    counts_W[rank] = len(rows_NC)
    torch.distributed.all_reduce(counts_W)
    before, after = int(counts_W[:rank].sum()), int(counts_W[rank + 1 :].sum())
    # Each process adds its rows to a place where the others have zeros.
    return summed_over_processes(torch.cat([_zeros(rows_NC, before), rows_NC, _zeros(rows_NC, after)]))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


def _are_several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _zeros(rows_NC: Tensor, number: int) -> Tensor:
    return rows_NC.new_zeros(number, *rows_NC.shape[1:])
