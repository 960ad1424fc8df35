"""Published weights of a MinkUNet, from MinkowskiEngine's layout to a backbone of this suite.

The layout is that of Res16UNet34C in valeoai/SLidR@14729d0:model/res16unet.py, which OLIVINE and CMCR share. Where in
the file the network lies does not matter: below ``model_points``, ``state_dict`` or ``model``, with names that begin
with ``module.`` or anything else. What is beside it is left out and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from cmcr.checkpoints import described, load_strictly, read_content
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import WeightsError
from cmcr.models.backbone import INPUT_CHANNELS, make_backbone, read_record
from cmcr.models.minkowski import from_minkowski, to_minkowski
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions

#: The first layer; where it is, the network is.
_STEM = "conv0p1s1.kernel"
#: First parts of the names of a backbone's own tensors; whatever else stands beside them is a head.
_BACKBONE = re.compile(r"(conv|convtr)\d+p\d+s\d+|(bn|bntr|block)\d+")
_PARTS = (
    ("stem", re.compile(r"(conv0p1s1|bn0)\.")),
    ("encoder", re.compile(r"(conv[1-4]p\d+s2|bn[1-4]|block[1-4])\.")),
    ("decoder", re.compile(r"(convtr[4-7]p\d+s2|bntr[4-7]|block[5-8])\.")),
)
#: So many names of each kind of misfit are printed.
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """A network as it was found in a file.

    Attributes:
        path: the file.
        place: what stands before the names of its tensors, ``model_points.`` for example; may be empty.
        tensors: its tensors by MinkowskiEngine's names, the heads left out.
        left_out: what else is in the file: a description by name.
        options: size of the network, read off the tensors; None where a level lacks its first block.
        voxels: what the file says about the voxels it was trained on; None if nothing.
    """

    path: Path
    place: str
    tensors: Mapping[str, Tensor]
    left_out: Mapping[str, str]
    options: MinkUNetOptions | None
    voxels: VoxelGrid | None

    def fill(self, options: MinkUNetOptions) -> MinkUNet:
        """Return the network of ``options`` with these weights: every tensor has its place, and none is left over.

        Raises:
            WeightsError: lists what does not fit, and the options that would.
        """
        channels = self.tensors[_STEM].shape[1] if self.tensors[_STEM].ndim == 3 else INPUT_CHANNELS
        if channels != INPUT_CHANNELS:
            raise WeightsError(
                f"{self.path}\n  expected: a network that sees {INPUT_CHANNELS} channel of a voxel, its intensity\n"
                f"  found:    one that sees {channels}: {_STEM} is {tuple(self.tensors[_STEM].shape)}\n"
                "  way out:  weights that were trained on the intensity alone"
            )
        with described(self.path, self.tensors), torch.device("meta"):
            expected = to_minkowski(make_backbone(options).state_dict())
        missing = [name for name in expected if name not in self.tensors and not name.endswith("num_batches_tracked")]
        unknown = [name for name in self.tensors if name not in expected]
        reshaped = [n for n, t in self.tensors.items() if n in expected and t.shape != expected[n].shape]
        if missing or unknown or reshaped:
            shapes = [f"{n} is {tuple(self.tensors[n].shape)}, not {tuple(expected[n].shape)}" for n in reshaped]
            fitting = len(expected) - len(missing) - len(reshaped)
            lines = [
                f"{self.path}: weights of another network",
                f"  expected: {_size(options)}",
                f"  found:    {_size(self.options)}; {fitting} of {len(expected)} tensors fit",
                *_listed("of another shape", shapes),
                *_listed("missing", missing),
                *_listed("unknown", unknown),
                f"  way out:  {self._way_out(options)}",
            ]
            raise WeightsError("\n".join(lines))
        broken = [name for name, tensor in self.tensors.items() if not tensor.isfinite().all()]
        if broken:
            lines = [f"{self.path}: weights that are not finite", *_listed("not finite", broken)]
            raise WeightsError("\n".join([*lines, "  way out:  another file; this training has diverged"]))
        backbone = make_backbone(options)
        load_strictly(backbone, from_minkowski(self.tensors), self.path)
        return backbone

    def _way_out(self, options: MinkUNetOptions) -> str:
        found = self.options
        if found is None or _size(found) == _size(options):
            return "weights of Res16UNet34C with kernels of 3^3 (SLidR, OLIVINE, CMCR), whole"
        return f"backbone: {{{_size(found)}}} in the config fits these weights"

    def summary(self) -> str:
        """Say for print what was found where, what was left out, and how large the network is."""
        counts = {part: sum(bool(pattern.match(n)) for n in self.tensors) for part, pattern in _PARTS}
        place = f"below {self.place.rstrip('.')}" if self.place else "at the top"
        lines = [f"{self.path}: a MinkUNet in MinkowskiEngine's layout, {place}"]
        lines += [f"  {part:9} {number} tensors" for part, number in counts.items()]
        lines += [f"  left out  {name}: {what}" for name, what in self.left_out.items()]
        lines.append(f"  network   {_size(self.options)}")
        lines.append(f"  voxels    {self.voxels.model_dump_json() if self.voxels else 'the file does not say'}")
        return "\n".join(lines)


def read_published(path: Path | str) -> PublishedWeights:
    """Find the network in a ``.pt`` or ``.safetensors`` file. Nothing in the file is executed.

    Raises:
        WeightsError: missing, truncated or unsafe file; one without such a network, or with several.
    """
    path = Path(path)
    content = read_content(path)
    if not isinstance(content, Mapping):
        found = f"a single {type(content).__name__}"
        raise WeightsError(f"{path}\n  expected: names with tensors\n  found:    {found}\n{_SAVE}")
    everything = dict(_flatten(content))
    tensors = {name: value for name, value in everything.items() if isinstance(value, Tensor)}
    places = [name.removesuffix(_STEM) for name in tensors if name == _STEM or name.endswith(f".{_STEM}")]
    if not places:
        raise WeightsError(
            f"{path}\n  expected: a MinkUNet in MinkowskiEngine's layout, with a tensor {_STEM}\n"
            f"  found:    {_kind(tensors)}\n{_SAVE}"
        )
    if len(places) > 1:
        raise WeightsError(
            f"{path}\n  expected: one MinkUNet\n"
            f"  found:    {len(places)}: {', '.join(f'below {p[:-1]}' if p else 'at the top' for p in places)}\n"
            "  way out:  keep the one you mean in a file of its own"
        )
    (place,) = places
    below = {name.removeprefix(place): tensor for name, tensor in tensors.items() if name.startswith(place)}
    own = {name: tensor for name, tensor in below.items() if _BACKBONE.fullmatch(name.partition(".")[0])}
    return PublishedWeights(
        path=path,
        place=place,
        tensors=own,
        left_out=_left_out(everything, place, own),
        options=_options(own),
        voxels=_voxels(path, content),
    )


_SAVE = "  way out:  weights of the 3D network of SLidR, OLIVINE, CMCR or their like: a file with its state_dict()"


def _flatten(content: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is in nested mappings, with all keys of its way as its name."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _left_out(everything: Mapping[str, Any], place: str, own: Mapping[str, Tensor]) -> dict[str, str]:
    """Describe what is not of the backbone, a line for each module beside it and each other part of the file."""
    groups: dict[str, list[Any]] = {}
    above = place.split(".")[0]
    for name, value in everything.items():
        if name.startswith(place) and name.removeprefix(place) in own:
            continue
        inside = place if place and name.startswith(place) else ""
        # Beside the network in one state_dict, the second part of a name tells modules apart.
        depth = 2 if not inside and place.count(".") > 1 and name.split(".")[0] == above else 1
        groups.setdefault(inside + ".".join(name.removeprefix(inside).split(".")[:depth]), []).append(value)
    return {name: _describe(name.removeprefix(place), values) for name, values in groups.items()}


def _describe(name: str, values: list[Any]) -> str:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if not tensors:
        return "no weights"
    count = f"{len(tensors)} tensor{'s' if len(tensors) > 1 else ''}"
    kernel = next((tensor for tensor in tensors if tensor.ndim == 2), None)
    if name.startswith("final") and kernel is not None:
        return f"{count}, the 1x1 layer from {kernel.shape[0]} to {kernel.shape[1]} channels behind the backbone"
    return count


def _options(tensors: Mapping[str, Tensor]) -> MinkUNetOptions | None:
    """Read the network's size off its tensors."""
    try:
        planes = [tensors[f"block{level}.0.conv1.kernel"].shape[-1] for level in range(1, 9)]
        names = [re.match(r"block(\d)\.(\d+)\.", name) for name in tensors]
        blocks = [max(int(m[2]) for m in names if m and int(m[1]) == level) + 1 for level in range(1, 9)]
        return MinkUNetOptions.model_validate({"stem": tensors[_STEM].shape[-1], "planes": planes, "blocks": blocks})
    except (KeyError, IndexError, ValueError):
        return None


def _voxels(path: Path, content: Mapping[Any, Any]) -> VoxelGrid | None:
    """Read what the file says: SLidR's code keeps its config in it, ours a record.

    SLidR's cylindrical cells span one degree, and ``voxel_size`` along both other axes
    (valeoai/SLidR@14729d0:pretrain/dataloader_nuscenes.py).
    """
    if path.suffix == ".safetensors":
        try:
            voxels = read_record(path).voxels
            return voxels if isinstance(voxels, VoxelGrid) else None
        except WeightsError:
            return None
    config = content.get("config")
    if not isinstance(config, Mapping):
        return None
    size, cylindrical = config.get("voxel_size"), config.get("cylindrical_coordinates")
    if not isinstance(cylindrical, bool):
        return None
    try:
        return VoxelGrid.model_validate({"kind": "cylindrical" if cylindrical else "cartesian", "size_m": size})
    except ValidationError:
        return None


def same_cells(one: VoxelGrid, other: VoxelGrid) -> bool:
    """Whether two grids cut space alike; the angle does not matter to Cartesian cells."""
    return _cells(one) == _cells(other)


def _cells(grid: VoxelGrid) -> tuple[Any, ...]:
    azimuth = grid.azimuth_deg if grid.kind == "cylindrical" else None
    return grid.kind, grid.size_m, grid.height_m or grid.size_m, azimuth


def _kind(tensors: Mapping[str, Tensor]) -> str:
    """Say what a file without a MinkUNet of MinkowskiEngine holds."""
    if not tensors:
        return "no tensor at all"
    if "stem.weight" in tensors:
        return "a backbone in this suite's own layout; it needs no import, `cmcr finetune --weights` reads it"
    name, tensor = next(iter(tensors.items()))
    for name_, tensor_ in tensors.items():
        if tensor_.ndim in (4, 5):
            what = "images (2D convolutions)" if tensor_.ndim == 4 else "dense or spconv voxels (5-axis kernels)"
            return f"a network of {what}: {name_} is {tuple(tensor_.shape)}"
    return f"{len(tensors)} tensors, the first of them {name}, {tuple(tensor.shape)}"


def _size(options: MinkUNetOptions | None) -> str:
    """The part of the options that weights depend on, as it is written in a config."""
    if options is None:
        return "a network that is not whole"
    return f"stem: {options.stem}, planes: {list(options.planes)}, blocks: {list(options.blocks)}"


def _listed(what: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"  {what} ({len(names)}): {'; '.join(names[:_SHOWN])}{more}"] if names else []
