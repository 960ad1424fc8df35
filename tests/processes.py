"""Real processes that talk over gloo, for tests of what is reduced over devices."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing


def run_in_processes(number: int, work: Callable[[int, Path], None], folder: Path) -> None:
    """Call ``work(rank, folder)`` in that many new processes of one thread each; an error in any of them is raised.

    ``work`` is a function at the top of its module and leaves what it found in ``folder``.
    """
    # The file, not the function: a test module has no name under which a new process could import it.
    arguments = (number, inspect.getfile(work), work.__name__, folder)
    torch.multiprocessing.start_processes(_join, arguments, nprocs=number, start_method="spawn")


def _join(rank: int, number: int, file: str, name: str, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=number
    )
    try:
        runpy.run_path(file)[name](rank, folder)
    finally:
        torch.distributed.destroy_process_group()
