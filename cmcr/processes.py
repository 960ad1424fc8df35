"""The processes of a training on several devices (`compute.devices`): which one this is, and what they reduce.

The first process is the one that was called. Lightning starts the others by the same command, and all of them train;
the first alone holds the job's folder, writes and prints. A run on one device is its first process and has no others.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
import torch.distributed
from torch import Tensor

from cmcr.errors import CMCRError

#: The process id of the first one, in the environment that it hands down.
_FIRST = "CMCR_FIRST_PROCESS"
#: By these Lightning's processes find each other. Whoever starts a job may use them for its own ends.
_LIGHTNINGS = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
#: Seconds between two looks of the others at whether the first is still there.
_LOOK_EVERY_S = 0.5


def rank() -> int:
    """Return the number of this process among those of its job, from 0."""
    own = str(os.getpid())
    return int(os.environ["LOCAL_RANK"]) if os.environ.get(_FIRST, own) != own else 0


def lead(threads: int) -> None:
    """Prepare the environment in which Lightning starts the others, if this is the first process and has none yet.

    Args:
        threads: CPU threads of each process.
    """
    if _FIRST in os.environ:
        return
    for name in _LIGHTNINGS:
        os.environ.pop(name, None)
    os.environ[_FIRST] = str(os.getpid())
    # Without it Lightning would share out the machine's cores, and the last bits would depend on their number.
    os.environ["OMP_NUM_THREADS"] = str(threads)


def follow() -> None:
    """Be quiet and end with the first process, however it ends, if this is one of the others."""
    if rank() == 0:
        return
    logging.getLogger().setLevel(logging.WARNING)
    first = int(os.environ[_FIRST])

    def watch() -> None:
        while os.getppid() == first:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)  # the main thread may be waiting for the first one, for half an hour

    threading.Thread(target=watch, daemon=True).start()


def leave_to_the_first() -> None:
    """End all processes but the first, well; that one goes on as if it had always been alone."""
    if _are_several():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if rank() > 0:
        sys.exit(0)


def end(message: str) -> NoReturn:
    """End a process of those that all end for the same reason; the first one says it.

    Raises:
        CMCRError: with the message, in the first process.
        SystemExit: in the others.
    """
    if rank() > 0:
        sys.exit(1)
    raise CMCRError(message)


def is_of_another(error: Exception) -> bool:
    """Whether ``error`` says no more than that another process is gone."""
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def summed_over_processes(x: Tensor) -> Tensor:
    """Return the sum of every process's ``x``, of the same shape in all, with gradients to each of them.

    The gradient that a process gets is the sum over the losses of all processes. Where all compute one loss from such
    sums, DDP's mean of the parameters' gradients is therefore the gradient of that loss.
    """
    return _Sum.apply(x) if _are_several() else x


def any_process(own: bool, device: torch.device) -> bool:
    """Return whether ``own`` is true in any process; all of them have to ask, and get the same answer."""
    return bool(summed_over_processes(torch.tensor(int(own), device=device)))


def mean_over_processes(values: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the mean of each of the scalars over the processes, all of which have the same, without gradients.

    They are brought to the ``device`` that trains: what a method counts may lie on the CPU, where NCCL sums nothing.
    """
    own = {name: value.detach() for name, value in values.items()}
    if not own or not _are_several():
        return own
    sums = summed_over_processes(torch.stack([value.to(device) for value in own.values()]))
    return dict(zip(own, sums / torch.distributed.get_world_size(), strict=True))


def gathered_over_processes(rows_NC: Tensor, wanted: bool = True) -> Tensor:
    """Return the (N, C) rows of all processes, those of the first one first; their numbers may differ.

    Gradients are those of `summed_over_processes`.

    Args:
        rows_NC: of this process.
        wanted: false returns them as they are: many methods leave it to an option.
    """
    if not wanted or not _are_several():
        return rows_NC
    own, number = torch.distributed.get_rank(), torch.distributed.get_world_size()
    counts_W = torch.zeros(number, dtype=torch.int64, device=rows_NC.device)
    counts_W[own] = len(rows_NC)
    torch.distributed.all_reduce(counts_W)
    before, after = int(counts_W[:own].sum()), int(counts_W[own + 1 :].sum())
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
