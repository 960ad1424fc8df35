"""`Movable`: groups of tensors that go from one memory to another together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor


class Movable:
    """Mixin for frozen dataclasses whose fields are tensors, tuples of such, other movables, or anything that stays."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return a copy whose tensors lie on ``device``."""
        return _mapped(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return a copy in memory that a GPU reads while the CPU goes on (torch's loader calls this)."""
        return _mapped(self, Tensor.pin_memory)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Movable):
        return dataclasses.replace(value, **{name: _mapped(part, change) for name, part in vars(value).items()})  # type: ignore[type-var]
    if isinstance(value, tuple):
        return tuple(_mapped(part, change) for part in value)
    return value
