"""Precision and repeatability of a job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from invented import BOUNDS, TINY_VOXELNET, feature_bank, finetune_job, invented_index, pretrain_job, with_instances
from torch import Tensor, nn
from tuned import save_scratch, tune_invented

from cmcr.checkpoints import read_tensors
from cmcr.compute import ComputeOptions, prepare
from cmcr.pretrain.plugins import load_plugin
from cmcr.pretrain.run import pretrain
from cmcr.recipe import Recipe
from cmcr.sparse.engine import ENGINES, REFERENCE, choose_engine, engine_for
from cmcr.training import TrainingModule

HALF = ComputeOptions(precision="bfloat16")


@pytest.fixture
def _settings_restored() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, dict(ENGINES)
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.benchmark = before[1]
    ENGINES.clear()
    ENGINES.update(before[2])


@dataclass
class Output:
    scores: Tensor
    places: list[Tensor]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Output:
        return Output(self.layer(x), [torch.arange(3)])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_runs_in_the_precision_asked_for_and_hands_on_float32(precision: Any) -> None:
    torch.manual_seed(0)
    network, x, seen = Network(), torch.randn(50, 64), []
    network.layer.register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    module = TrainingModule(Recipe(epochs=1, batch_size=1), 1, precision)
    output = module.in_float32(network, x)
    assert seen == [{"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]]
    assert (output.scores.dtype, output.places[0].dtype) == (torch.float32, torch.int64)
    exact = network.layer(x)
    assert torch.equal(output.scores, exact) is (precision == "float32")
    torch.testing.assert_close(output.scores, exact, rtol=0, atol=0.02)  # of values up to 2; bfloat16 has 8 bits
    output.scores.sum().backward()
    assert network.layer.weight.grad is not None
    assert network.layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("network", [{}, {"backbone": TINY_VOXELNET, "voxels": BOUNDS}])
def test_pre_training_in_bfloat16_begins_as_in_float32(tmp_path: Path, network: dict[str, Any]) -> None:
    found = {}
    for name, compute in (("full", ComputeOptions()), ("half", HALF)):
        job = pretrain_job(compute=compute, **network)
        output = tmp_path / f"{name}.safetensors"
        bank = feature_bank(5)
        index, folder = invented_index(5), tmp_path / name
        pretrain(job, load_plugin("ppkt"), index=index, encoder=None, feature_bank=bank, folder=folder, output=output)
        found[name] = read_tensors(output)
        losses = [float(row.split(",")[3]) for row in (folder / "metrics.csv").read_text().splitlines()[1:]]
        found[f"{name} loss"] = torch.tensor(losses)
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in found["half"].values())
    assert any(not torch.equal(tensor, found["full"][name]) for name, tensor in found["half"].items())
    # The first steps; further on the runs part, as runs do.
    torch.testing.assert_close(found["half loss"][:3], found["full loss"][:3], rtol=0.02, atol=0)


@pytest.mark.parametrize("task", ["segmentation", "panoptic"])
def test_fine_tuning_in_bfloat16_learns_and_scores_in_float32(tmp_path: Path, task: str) -> None:
    scans = {"train_index": with_instances(invented_index(4)), "labelled": [0, 2, 3]}
    scans["validation_index"] = with_instances(invented_index(3, "val", first=100))
    options = {"head": {"grid": {"cell_m": 1.0, "range_m": 12}, "channels": 4}} if task == "panoptic" else {}
    recipe = Recipe(epochs=15, batch_size=2, lr=1e-2)
    job = finetune_job(task=task, options=options, recipe=recipe, compute=HALF)
    scores = tune_invented(job, save_scratch(tmp_path / "backbone.safetensors"), tmp_path, **scans)
    found = {(row.metric, row.class_name): row.value for row in scores.metrics}
    assert (found["miou", "all"] or 0) > 60  # panoptic: of 67, because a class that does not occur counts 0


@pytest.mark.usefixtures("_settings_restored")
def test_on_the_cpu_everything_is_repeatable_and_the_reference_serves() -> None:
    prepare(ComputeOptions(), seed=0)
    assert torch.are_deterministic_algorithms_enabled()
    assert engine_for(torch.device("cpu")) is REFERENCE


@pytest.mark.usefixtures("_settings_restored")
@pytest.mark.parametrize("deterministic", [False, True])
def test_on_a_gpu_repeatable_is_what_was_asked_for(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cmcr.sparse.engine.find_spec", lambda *_: None)
    with caplog.at_level("INFO"):
        prepare(ComputeOptions(device="cuda", deterministic=deterministic), seed=0)
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic
    assert engine_for(torch.device("cuda")) is REFERENCE
    said = "compute.deterministic" if deterministic else "spconv, which is not installed"
    assert f"sparse convolutions: reference engine, {'whose' if deterministic else 'much slower'}" in caplog.text
    assert said in caplog.text


@pytest.mark.usefixtures("_settings_restored")
def test_spconv_serves_gpus_where_it_is_installed() -> None:
    pytest.importorskip("spconv.pytorch", reason="spconv is not installed (environment.yml has it, for GPU machines)")
    assert choose_engine("cuda", deterministic=False) == "spconv"
    assert type(engine_for(torch.device("cuda"))).__name__ == "SpconvEngine"
    assert choose_engine("cuda", deterministic=True).startswith("reference engine")
    assert engine_for(torch.device("cuda")) is REFERENCE
