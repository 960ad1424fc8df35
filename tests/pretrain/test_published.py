from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from invented import TINY, VOXELS, finetune_job, invented_index
from torch import Tensor

from cmcr.checkpoints import read_tensors
from cmcr.cli import main
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import WeightsError
from cmcr.models.backbone import load_backbone, make_backbone, read_record
from cmcr.models.minkowski import to_minkowski
from cmcr.pretrain.plugins import load_plugin_file
from cmcr.pretrain.published import PUBLISHED_FILE, ImportJob, import_weights
from cmcr.recipe import Recipe
from cmcr.sparse import SparseTensor
from cmcr.tasks.finetune import finetune

CYLINDERS = VoxelGrid(kind="cylindrical")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A file in SLidR's layout that does not say its voxels."""
    torch.manual_seed(0)
    state = {name: tensor.contiguous() for name, tensor in to_minkowski(make_backbone(TINY).state_dict()).items()}
    torch.save({"model_points": state, "epoch": 50}, tmp_path / "released.pt")
    return tmp_path / "released.pt"


def with_config(released: Path, config: dict[str, Any]) -> Path:
    torch.save({**torch.load(released, weights_only=True), "config": config}, released)
    return released


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_points": state, "epoch": 50, "config": {"voxel_size": 0.1}},
        lambda state: {"model_points": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"state_dict": {f"model_points.{name}": tensor for name, tensor in state.items()}},
        lambda state: state,
    ],
    ids=["SLidR", "module.", "Lightning", "plain"],
)
def test_an_import_gives_the_output_of_minkowski_engine(
    wrap: Callable[[dict[str, Tensor]], Any], shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line. The last layer is left out of the backbone, so the test puts it behind it."""
    fixture = np.load(shared / "fixtures" / "minkowski_unet_tiny.npz")
    state = {n.removeprefix("state/"): torch.from_numpy(fixture[n]) for n in fixture.files if n.startswith("state/")}
    torch.save(wrap(state), tmp_path / "tiny.pt")
    output = tmp_path / "backbone.safetensors"
    job = json.dumps({"voxels": {"kind": "cylindrical"}})
    assert main(["import-weights", str(tmp_path / "tiny.pt"), "--job", job, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "final: 2 tensors, the 1x1 layer from 12 to 10 channels" in printed
    backbone, record = load_backbone(output, read_record(output).backbone, CYLINDERS)
    assert (record.backbone.stem, list(record.backbone.planes)) == (8, fixture["planes"].tolist())
    with torch.no_grad():
        features = backbone.eval()(
            SparseTensor(torch.from_numpy(fixture["features"]), torch.from_numpy(fixture["coordinates"]))
        )
    out = F.normalize(features @ state["final.kernel"] + state["final.bias"], dim=1)
    torch.testing.assert_close(out, torch.from_numpy(fixture["output"]), rtol=0, atol=1e-4)


def test_the_record_says_where_the_weights_come_from(released: Path, tmp_path: Path) -> None:
    job = ImportJob(method="slidr_released", dataset="nuscenes", seed=2, backbone=TINY, voxels=VOXELS)
    output = tmp_path / "out" / "backbone.safetensors"
    import_weights(job, released, output)
    record = read_record(output)
    assert (record.method, record.dataset, record.seed) == ("slidr_released", "nuscenes", 2)
    assert (record.backbone, record.voxels) == (TINY, VOXELS)
    assert record.weights_checksum == hashlib.sha256(released.read_bytes()).hexdigest()
    # The same weights in another file are another origin; the scores' provenance holds the hash of the config.
    with_config(released, {"epochs": 1})
    import_weights(job, released, tmp_path / "again.safetensors")
    assert read_record(tmp_path / "again.safetensors").config_hash != record.config_hash


def test_the_same_file_gives_the_same_bytes_and_seeds_differ_in_the_record_only(released: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for output, seed in zip(outputs, (0, 0, 1), strict=True):
        import_weights(ImportJob(seed=seed, voxels=VOXELS), released, output)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    one, other = read_tensors(outputs[0]), read_tensors(outputs[2])
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_an_import_is_fine_tuned_like_any_other_row(released: Path, tmp_path: Path) -> None:
    weights = tmp_path / "backbone.safetensors"
    import_weights(ImportJob(method="slidr_released", backbone=TINY, voxels=VOXELS), released, weights)
    scores = finetune(
        finetune_job(method="slidr_released", pretrain_dataset="published", recipe=Recipe(epochs=1, batch_size=2)),
        weights,
        train_index=invented_index(4),
        labelled=[0, 2, 3],
        validation_index=invented_index(3, "val", first=100),
        folder=tmp_path / "logs",
        model_output=tmp_path / "model.safetensors",
        scores_output=tmp_path / "scores.json",
        frames_output=tmp_path / "frames.safetensors",
    )
    assert (scores.method, scores.pretrain_dataset) == ("slidr_released", "published")


def test_exported_weights_come_back_byte_for_byte(released: Path, tmp_path: Path) -> None:
    ours, theirs, again = (tmp_path / f"{name}.safetensors" for name in ("ours", "theirs", "again"))
    job = ImportJob(method="ppkt", seed=3, voxels=VOXELS)
    import_weights(job, released, ours)
    assert main(["export-weights", str(ours), "--output", str(theirs)]) == 0
    exported, original = read_tensors(theirs), torch.load(released, weights_only=True)["model_points"]
    assert exported.keys() == original.keys()
    assert all(torch.equal(tensor, original[name]) for name, tensor in exported.items())
    import_weights(ImportJob(), theirs, again)  # it says its voxels itself
    assert read_record(again).voxels == VOXELS
    before, after = read_tensors(ours), read_tensors(again)
    assert before.keys() == after.keys()
    assert all(before[name].numpy().tobytes() == after[name].numpy().tobytes() for name in before)


def test_only_a_backbone_of_ours_is_exported(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-weights", str(released), "--output", str(tmp_path / "theirs.safetensors")]) == 1
    assert str(released) in capsys.readouterr().err
    assert not (tmp_path / "theirs.safetensors").exists()


def test_without_an_output_nothing_is_written(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert main(["import-weights", str(released)]) == 0
    assert "nothing; --output FILE imports it" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before


def test_a_refused_file_is_one_message_and_no_output(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released.write_bytes(released.read_bytes()[:500])
    assert main(["import-weights", str(released), "--output", str(tmp_path / "backbone.safetensors")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"cmcr import-weights: {released}: damaged or truncated")
    assert "Traceback" not in error
    assert not (tmp_path / "backbone.safetensors").exists()


def test_voxels_of_another_kind_are_refused_whoever_states_them(released: Path, tmp_path: Path) -> None:
    output = tmp_path / "backbone.safetensors"
    stated = ImportJob(voxels=VOXELS, trained_voxels=CYLINDERS)
    with pytest.raises(WeightsError, match=r"(?s)for the voxels .*cartesian.*cylindrical.*says the config .*way out:"):
        import_weights(stated, released, output)
    with_config(released, {"voxel_size": 0.1, "cylindrical_coordinates": True})
    with pytest.raises(WeightsError, match=r"(?s)for the voxels .*cartesian.*cylindrical.*says .*released\.pt\n"):
        import_weights(ImportJob(voxels=VOXELS), released, output)
    assert not output.exists()


def test_a_file_that_does_not_say_its_voxels_is_taken_at_the_runs_word_aloud(
    released: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "backbone.safetensors"
    with pytest.raises(WeightsError, match=r"(?s)expected: the voxels .*way out:  --job"):
        import_weights(ImportJob(), released, output)
    with caplog.at_level(logging.INFO):
        import_weights(ImportJob(voxels=VOXELS), released, output)
    assert "does not say on which voxels it was trained; taken to be those of this run" in caplog.text


def test_a_statement_in_the_config_counts_over_the_files_and_is_logged(
    released: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_config(released, {"voxel_size": 0.1, "cylindrical_coordinates": True})
    output = tmp_path / "backbone.safetensors"
    import_weights(ImportJob(voxels=VOXELS, trained_voxels=VOXELS), released, output)
    assert read_record(output).voxels == VOXELS
    assert "the config says otherwise and counts" in caplog.text


def test_the_stand_in_for_a_plugin_is_one() -> None:
    assert load_plugin_file(PUBLISHED_FILE).id == "published"
