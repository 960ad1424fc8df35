"""BatchNorm over the rows of all processes. torch's own refuses CPU tensors, and a process without any row.

N rows of this process, C channels, W processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

from cmcr.processes import summed_over_processes


class RowNorm(nn.BatchNorm1d):
    """BatchNorm of rows that lets a batch without any pass: without rows there are no statistics."""

    def forward(self, rows_NC: Tensor) -> Tensor:
        """Return (N, C) normalised rows."""
        return super().forward(rows_NC) if len(rows_NC) else rows_NC


@contextmanager
def synced_norms(network: nn.Module) -> Iterator[None]:
    """Let every BatchNorm of ``network`` take its statistics from all processes that train it.

    The layers stay what they are, with their names and their files; only how they run is replaced.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    for layer in layers:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise (N, C) or (B, C, H, W); in training, move the running statistics as torch does."""
    if not layer.training:
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)
    rows_NC = x.movedim(1, -1).reshape(-1, layer.num_features)
    rows_NC, count, mean_C, variance_C = _Normalise.apply(rows_NC, layer.weight, layer.bias, layer.eps)
    _move_statistics(layer, count, mean_C, variance_C * (count / (count - 1).clamp(min=1)))
    return rows_NC.view(x.movedim(1, -1).shape).movedim(-1, 1)


@torch.no_grad()
def _move_statistics(layer: nn.BatchNorm1d | nn.BatchNorm2d, count: Tensor, mean_C: Tensor, unbiased_C: Tensor) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    # All by tensors: to ask whether there is any row would make a GPU wait at every layer.
    any_row = count > 0
    layer.num_batches_tracked.add_(any_row)
    # No momentum is torch's sign for a plain average over all batches.
    share = 1 / layer.num_batches_tracked.clamp(min=1) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean_C, any_row * share)
    layer.running_var.lerp_(unbiased_C, any_row * share)


class _Normalise(torch.autograd.Function):
    """Returns the normalised rows, and the number, mean and (biased) variance of the rows of all processes.

    Rows in half precision come back in it; between, everything is in the precision of the weights.
    """

    @staticmethod
    def forward(ctx: Any, given_NC: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float) -> tuple[Tensor, ...]:
        rows_NC = given_NC.to(weight_C.dtype)
        own = rows_NC.new_tensor([len(rows_NC)])
        mean_C = rows_NC.sum(dim=0) / own.clamp(min=1)
        # One row for each process: every one fills in its own. Squares are taken around its own mean, where they are
        # small, and joined by the law of total variance.
        found = torch.cat([own, mean_C, (rows_NC - mean_C).square().sum(dim=0)])
        place, number = torch.distributed.get_rank(), torch.distributed.get_world_size()
        found_WF = found.new_zeros(number, len(found))
        found_WF[place] = found
        found_WF = summed_over_processes(found_WF)
        count_W1, mean_WC, squares_WC = found_WF.split([1, len(mean_C), len(mean_C)], dim=1)
        count = count_W1.sum()
        mean_C = (count_W1 * mean_WC).sum(dim=0) / count.clamp(min=1)
        squares_C = (squares_WC + count_W1 * (mean_WC - mean_C).square()).sum(dim=0)
        variance_C = squares_C / count.clamp(min=1)
        scale_C = (variance_C + eps).rsqrt()
        ctx.save_for_backward(given_NC, weight_C, mean_C, scale_C, count)
        ctx.mark_non_differentiable(count, mean_C, variance_C)
        normal_NC = (rows_NC - mean_C) * (scale_C * weight_C) + bias_C
        return normal_NC.to(given_NC.dtype), count, mean_C, variance_C

    @staticmethod
    def backward(ctx: Any, given_NC: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        rows_NC, weight_C, mean_C, scale_C, count = ctx.saved_tensors
        normal_NC, gradient_NC = (rows_NC.to(weight_C.dtype) - mean_C) * scale_C, given_NC.to(weight_C.dtype)
        of_bias_C, of_weight_C = gradient_NC.sum(dim=0), (gradient_NC * normal_NC).sum(dim=0)
        # The statistics depend on the rows of all and serve the losses of all; the parameters' gradients are DDP's.
        all_2C = summed_over_processes(torch.stack([of_bias_C, of_weight_C])) / count.clamp(min=1)
        of_rows_NC = (gradient_NC - all_2C[0] - normal_NC * all_2C[1]) * (scale_C * weight_C)
        return of_rows_NC.to(rows_NC.dtype), of_weight_C, of_bias_C, None
