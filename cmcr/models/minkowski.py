"""Names of MinkowskiEngine's MinkUNet (valeoai/SLidR@14729d0:model/minkunet.py) and ours. Values stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

RULES = (
    (r"conv0p1s1\.kernel", "stem.weight"),
    (r"bn0\.bn\.(\w+)", r"stem_norm.\1"),
    (r"conv(\d)p\d+s2\.kernel", lambda m: f"down.{int(m[1]) - 1}.resample.weight"),
    (r"convtr(\d)p\d+s2\.kernel", lambda m: f"up.{int(m[1]) - 4}.resample.weight"),
    (r"bn(\d)\.bn\.(\w+)", lambda m: f"down.{int(m[1]) - 1}.norm.{m[2]}"),
    (r"bntr(\d)\.bn\.(\w+)", lambda m: f"up.{int(m[1]) - 4}.norm.{m[2]}"),
    (r"block(\d)\.(\d+)\.conv(\d)\.kernel", lambda m: f"{_level(m[1])}.blocks.{m[2]}.conv{m[3]}.weight"),
    (r"block(\d)\.(\d+)\.norm(\d)\.bn\.(\w+)", lambda m: f"{_level(m[1])}.blocks.{m[2]}.norm{m[3]}.{m[4]}"),
    (r"block(\d)\.(\d+)\.downsample\.0\.kernel", lambda m: f"{_level(m[1])}.blocks.{m[2]}.shortcut.0.weight"),
    (r"block(\d)\.(\d+)\.downsample\.1\.bn\.(\w+)", lambda m: f"{_level(m[1])}.blocks.{m[2]}.shortcut.1.{m[3]}"),
    (r"final\.kernel", "final.weight"),
    (r"final\.bias", "final.bias"),
)


def _level(block: str) -> str:
    number = int(block)
    return f"down.{number - 1}" if number <= 4 else f"up.{number - 5}"


def from_minkowski(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a MinkUNet's tensors from MinkowskiEngine's names to ours; unknown names are kept as they are.

    Kernels need no reordering because offsets are numbered alike. Kernels of one voxel become ``nn.Linear`` weights,
    which are stored transposed; the last bias loses its leading axis.
    """
    renamed = {}
    for name, tensor in state.items():
        ours = name
        for pattern, replacement in RULES:
            if match := re.fullmatch(pattern, name):
                ours = replacement(match) if callable(replacement) else match.expand(replacement)
                break
        if ours.endswith(("shortcut.0.weight", "final.weight")):
            tensor = tensor.T
        elif ours == "final.bias":
            tensor = tensor.reshape(-1)
        renamed[ours] = tensor
    return renamed
