"""Published weights: found wherever they are, filled wholly or not at all, nothing in the file run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cmcr.data.voxels import VoxelGrid
from cmcr.errors import WeightsError
from cmcr.models.backbone import make_backbone
from cmcr.models.minkowski import to_minkowski
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.models.published import read_published, same_cells

SMALL = MinkUNetOptions(stem=3, planes=(4, 5, 6, 7, 8, 9, 10, 11), blocks=(1, 2, 1, 3, 1, 1, 1, 2))


def released(options: MinkUNetOptions = SMALL, in_channels: int = 1) -> dict[str, Tensor]:
    """A state_dict as SLidR's code saves it, with the layer that maps to the contrastive space."""
    torch.manual_seed(0)
    state = to_minkowski(MinkUNet(options, in_channels, out_channels=16).state_dict())
    return {name: tensor.contiguous() for name, tensor in state.items()}


def save(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "released.pt")
    return folder / "released.pt"


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


LAYOUTS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda state: state,
    "SLidR": lambda state: {
        "model_points": state,
        "model_images": {"encoder.conv1.weight": torch.zeros(2, 3, 7, 7)},
        "epoch": 50,
        "config": {"voxel_size": 0.1, "losses": ["loss"], "resume_path": None},
    },
    "several GPUs": lambda state: {"model_points": prefixed(state, "module.")},
    "Lightning": lambda state: {
        "state_dict": {
            **prefixed(state, "model_points."),
            "model_images.conv1.weight": torch.zeros(2, 3, 7, 7),
            "embedding": torch.zeros(4, 2),
        },
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(2)}}}],
    },
    "model": lambda state: {"model": prefixed(state, "encoder."), "optimizer": {"state": {0: torch.zeros(3)}}},
    "Lightning on several GPUs": lambda state: {"state_dict": prefixed(state, "module.model_points.")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_is_found_wherever_it_is(layout: str, tmp_path: Path) -> None:
    published = read_published(save(LAYOUTS[layout](released()), tmp_path))
    assert published.options == SMALL
    torch.manual_seed(0)
    expected = MinkUNet(SMALL, 1, 16).state_dict()
    found = published.fill(SMALL).state_dict()
    assert found.keys() == expected.keys() - {"final.weight", "final.bias"}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    state = released() | {"final_class_level.kernel": torch.zeros(11, 16)}
    slidr = read_published(save(LAYOUTS["SLidR"](state), tmp_path))
    assert slidr.left_out == {
        "model_points.final": "2 tensors, the 1x1 layer from 11 to 16 channels behind the backbone",
        "model_points.final_class_level": "1 tensor, the 1x1 layer from 11 to 16 channels behind the backbone",
        "model_images": "1 tensor",
        "epoch": "no weights",
        "config": "no weights",
    }
    lightning = read_published(save(LAYOUTS["Lightning"](released()), tmp_path))
    assert {name: what.split(",")[0] for name, what in lightning.left_out.items()} == {
        "state_dict.model_points.final": "2 tensors",
        "state_dict.model_images": "1 tensor",
        "state_dict.embedding": "1 tensor",
        "optimizer_states": "no weights",
    }


def test_the_summary_counts_every_tensor(tmp_path: Path) -> None:
    published = read_published(save(LAYOUTS["SLidR"](released()), tmp_path))
    text = published.summary()
    counts = {part: int(number) for part, number in re.findall(r"(stem|encoder|decoder) +(\d+) tensors", text)}
    assert counts["stem"] == 1 + 5
    assert sum(counts.values()) == len(make_backbone(SMALL).state_dict())
    assert "below model_points\n" in text
    assert "stem: 3, planes: [4, 5, 6, 7, 8, 9, 10, 11], blocks: [1, 2, 1, 3, 1, 1, 1, 2]" in text


def test_counters_of_old_files_may_be_absent(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in released().items() if not name.endswith("num_batches_tracked")}
    read_published(save(state, tmp_path)).fill(SMALL)


def test_weights_of_another_network_name_tensors_and_the_options_that_fit(tmp_path: Path) -> None:
    path = save({"model_points": released()}, tmp_path)
    with pytest.raises(WeightsError) as error:
        read_published(path).fill(MinkUNetOptions())
    message = str(error.value)
    assert message.startswith(f"{path}: weights of another network\n  expected: stem: 32, planes: [32, 64,")
    assert "conv0p1s1.kernel is (27, 1, 3), not (27, 1, 32)" in message
    assert re.search(r"missing \(\d+\): block1\.1\.conv1\.kernel; ", message)
    way_out = message.split("way out:")[1]
    fits = "backbone: {stem: 3, planes: [4, 5, 6, 7, 8, 9, 10, 11], blocks: [1, 2, 1, 3, 1, 1, 1, 2]}"
    assert fits in way_out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv0p1s1.kernel": torch.zeros(125, 1, 3)}, r"conv0p1s1\.kernel is \(125, 1, 3\), not \(27, 1, 3\)\n.*3\^3"),
        ({"block1.0.se.kernel": torch.zeros(4, 4)}, r"unknown \(1\): block1\.0\.se\.kernel"),
        ({"block9.0.conv1.kernel": torch.zeros(27, 4, 4)}, r"unknown \(1\): block9\.0\.conv1\.kernel"),
        ({"block2.1.conv2.kernel": None}, r"missing \(1\): block2\.1\.conv2\.kernel"),
        ({"block8.0.conv1.kernel": None}, r"a network that is not whole.*\n.*missing \(1\): block8\.0\.conv1\.kernel"),
        ({"block1.0.downsample.0.kernel": torch.zeros(1, 3, 4)}, r"downsample\.0\.kernel is \(1, 3, 4\), not \(3, 4\)"),
        ({"bn0.bn.running_var": torch.full((3,), torch.nan)}, r"(?s)not finite \(1\): bn0\.bn\.running_var.*diverged"),
    ],
)
def test_what_does_not_fit_is_listed(change: dict[str, Tensor | None], message: str, tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in {**released(), **change}.items() if tensor is not None}
    with pytest.raises(WeightsError, match=message) as error:
        read_published(save(state, tmp_path)).fill(SMALL)
    assert str(tmp_path / "released.pt") in str(error.value)
    assert "way out:" in str(error.value)


def test_other_input_channels_are_refused(tmp_path: Path) -> None:
    path = save({"model_points": released(in_channels=4)}, tmp_path)
    with pytest.raises(WeightsError, match=r"(?s)sees 1 channel of a voxel.*sees 4: .*\(27, 4, 3\).*intensity alone"):
        read_published(path).fill(SMALL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(3), "a single Tensor"),
        ([torch.ones(3)], "a single list"),
        ({}, "no tensor at all"),
        ({"model_points": {}, "epoch": 3}, "no tensor at all"),
        (
            {"state_dict": {"module.encoder_q.conv1.weight": torch.zeros(64, 3, 7, 7)}},
            r"images \(2D convolutions\): .*64",
        ),
        ({"backbone_3d.conv.0.weight": torch.zeros(3, 3, 3, 1, 16)}, r"dense or spconv voxels \(5-axis kernels\)"),
        ({"layer.weight": torch.zeros(3, 2)}, r"1 tensors, the first of them layer\.weight, \(3, 2\)"),
        ({"stem.weight": torch.zeros(27, 1, 3)}, "this suite's own layout; it needs no import"),
    ],
)
def test_a_file_of_something_else_says_what_it_holds(content: Any, message: str, tmp_path: Path) -> None:
    path = save(content, tmp_path)
    with pytest.raises(WeightsError, match=f"(?s){re.escape(str(path))}\n  expected: .*{message}.*way out:"):
        read_published(path)


def test_two_networks_in_one_file_are_refused(tmp_path: Path) -> None:
    content = {"state_dict": prefixed(released(), "student.") | prefixed(released(), "teacher.")}
    with pytest.raises(WeightsError, match=r"2: below state_dict\.student, below state_dict\.teacher\n  way out:"):
        read_published(save(content, tmp_path))


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trap,)


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_file_is_refused_and_not_run(new: bool, tmp_path: Path) -> None:
    trap, path = tmp_path / "sprung", tmp_path / "released.pt"
    torch.save({"model_points": released(), "config": Payload(trap)}, path, _use_new_zipfile_serialization=new)
    with pytest.raises(WeightsError, match=f"(?s){re.escape(str(path))}: refused: .*way out:"):
        read_published(path)
    assert not trap.exists()
    # The trap would have worked.
    torch.load(path, weights_only=False)
    assert trap.exists()


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named_with_the_way_out(kept: float, tmp_path: Path) -> None:
    path = save({"model_points": released()}, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(WeightsError, match=f"(?s){re.escape(str(path))}: damaged or truncated .*way out:  fetch"):
        read_published(path)


@pytest.mark.parametrize(
    ("config", "voxels"),
    [
        (
            {"voxel_size": 0.1, "cylindrical_coordinates": True},
            VoxelGrid(kind="cylindrical", size_m=0.1, azimuth_deg=1),
        ),
        ({"voxel_size": 0.05, "cylindrical_coordinates": False}, VoxelGrid(kind="cartesian", size_m=0.05)),
        ({"voxel_size": 0.1}, None),
        ({"voxel_size": [0.1, 0.1, 0.2], "cylindrical_coordinates": False}, None),
        ({"voxel_size": -1, "cylindrical_coordinates": False}, None),
        ({"voxel_size": float("nan"), "cylindrical_coordinates": False}, None),
        ({"voxel_size": 0.1, "cylindrical_coordinates": "yes"}, None),
        ("semseg.yaml", None),
    ],
)
def test_the_config_in_a_released_file_says_the_voxels(config: Any, voxels: VoxelGrid | None, tmp_path: Path) -> None:
    assert read_published(save({"model_points": released(), "config": config}, tmp_path)).voxels == voxels


def test_the_angle_matters_to_cylinders_and_a_height_that_is_left_out_is_the_size() -> None:
    assert same_cells(VoxelGrid(kind="cartesian", azimuth_deg=1), VoxelGrid(kind="cartesian", azimuth_deg=2))
    assert not same_cells(VoxelGrid(kind="cylindrical", azimuth_deg=1), VoxelGrid(kind="cylindrical", azimuth_deg=2))
    assert same_cells(VoxelGrid(size_m=0.2), VoxelGrid(size_m=0.2, height_m=0.2))
    assert not same_cells(VoxelGrid(size_m=0.2), VoxelGrid(size_m=0.2, height_m=0.1))
    assert not same_cells(VoxelGrid(kind="cartesian"), VoxelGrid(kind="cylindrical"))
