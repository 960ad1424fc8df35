"""Names of MinkowskiEngine's MinkUNet (valeoai/SLidR@14729d0:model/res16unet.py) and ours. Values stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

RULES: Rules = (
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

#: The way back. A resampling layer's name in MinkowskiEngine also says at which stride it starts.
RULES_BACK: Rules = (
    (r"stem\.weight", "conv0p1s1.kernel"),
    (r"stem_norm\.(\w+)", r"bn0.bn.\1"),
    (r"down\.(\d)\.resample\.weight", lambda m: f"conv{int(m[1]) + 1}p{2 ** int(m[1])}s2.kernel"),
    (r"up\.(\d)\.resample\.weight", lambda m: f"convtr{int(m[1]) + 4}p{2 ** (4 - int(m[1]))}s2.kernel"),
    (r"down\.(\d)\.norm\.(\w+)", lambda m: f"bn{int(m[1]) + 1}.bn.{m[2]}"),
    (r"up\.(\d)\.norm\.(\w+)", lambda m: f"bntr{int(m[1]) + 4}.bn.{m[2]}"),
    (r"(down|up)\.(\d)\.blocks\.(\d+)\.conv(\d)\.weight", lambda m: f"{_block(m)}.conv{m[4]}.kernel"),
    (r"(down|up)\.(\d)\.blocks\.(\d+)\.norm(\d)\.(\w+)", lambda m: f"{_block(m)}.norm{m[4]}.bn.{m[5]}"),
    (r"(down|up)\.(\d)\.blocks\.(\d+)\.shortcut\.0\.weight", lambda m: f"{_block(m)}.downsample.0.kernel"),
    (r"(down|up)\.(\d)\.blocks\.(\d+)\.shortcut\.1\.(\w+)", lambda m: f"{_block(m)}.downsample.1.bn.{m[4]}"),
    (r"final\.weight", "final.kernel"),
    (r"final\.bias", "final.bias"),
)


def _level(block: str) -> str:
    number = int(block)
    return f"down.{number - 1}" if number <= 4 else f"up.{number - 5}"


def _block(match: re.Match[str]) -> str:
    return f"block{int(match[2]) + (1 if match[1] == 'down' else 5)}.{match[3]}"


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        if match := re.fullmatch(pattern, name):
            return replacement(match) if callable(replacement) else match.expand(replacement)
    return name


def from_minkowski(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a MinkUNet's tensors from MinkowskiEngine's names to ours; unknown names are kept as they are.

    Kernels need no reordering because offsets are numbered alike. Kernels of one voxel become ``nn.Linear`` weights,
    which are stored transposed; the last bias loses its leading axis.
    """
    renamed = {}
    for name, tensor in state.items():
        ours = _renamed(name, RULES)
        if ours.endswith(("shortcut.0.weight", "final.weight")):
            tensor = tensor.T
        elif ours == "final.bias":
            tensor = tensor.reshape(-1)
        renamed[ours] = tensor
    return renamed


def to_minkowski(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a MinkUNet's tensors from our names to MinkowskiEngine's: `from_minkowski` undone."""
    renamed = {}
    for name, tensor in state.items():
        if name.endswith(("shortcut.0.weight", "final.weight")):
            tensor = tensor.T
        elif name == "final.bias":
            tensor = tensor.reshape(1, -1)
        renamed[_renamed(name, RULES_BACK)] = tensor
    return renamed
