"""Names of torchvision's ResNet, also those of MoCo and SwAV files, and transformers'. Values stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cmcr.errors import WeightsError

#: Prefixes of training codes: MoCo's query encoder, SwAV's parallel wrapper, none.
PREFIXES = ("module.encoder_q.", "module.", "")
#: What such files hold besides the encoder: the classifier or MoCo's head, SwAV's head and prototypes.
LEFT_OUT = ("fc.", "projection_head.", "prototypes.")

PARTS = {"conv": "convolution", "bn": "normalization", "downsample.0": "convolution", "downsample.1": "normalization"}


def from_torchvision(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename a ResNet's tensors from torchvision's names to transformers'; unknown names are kept as they are.

    Dropped are those `LEFT_OUT`, and all outside the first of `PREFIXES` that fits (MoCo's momentum encoder and queue).

    Raises:
        WeightsError: no prefix fits.
    """
    prefix = next((p for p in PREFIXES if f"{p}conv1.weight" in state), None)
    if prefix is None:
        raise WeightsError(f"{path}: no tensor named conv1.weight; this is not a ResNet in torchvision's layout")
    names = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
    return {_renamed(name): state[prefix + name] for name in names if not name.startswith(LEFT_OUT)}


def _renamed(name: str) -> str:
    if match := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        return f"embedder.embedder.{PARTS[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)", name):
        stage, block, kind, number, leaf = match.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.layer.{int(number) - 1}.{PARTS[kind]}.{leaf}"
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(downsample\.[01])\.(\w+)", name):
        stage, block, kind, leaf = match.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.shortcut.{PARTS[kind]}.{leaf}"
    return name
