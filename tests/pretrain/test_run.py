from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from invented import BOUNDS, TINY, TINY_VOXELNET, feature_bank, invented_index, pretrain_job
from PIL import Image

from cmcr.checkpoints import read_tensors
from cmcr.models.backbone import load_backbone, make_backbone, read_record
from cmcr.models.image_encoder import ImageEncoder
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.learned import load_method
from cmcr.pretrain.plugins import load_plugin
from cmcr.pretrain.run import pretrain
from cmcr.recipe import Recipe


def run(job: PretrainJob, folder: Path, method: str = "ppkt", **changes: Any) -> Path:
    output = folder / "backbone.safetensors"
    arguments: dict[str, Any] = {"index": invented_index(5), "encoder": None, "feature_bank": feature_bank(5)} | changes
    pretrain(job, load_plugin(method), folder=folder, output=output, **arguments)
    return output


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_weights(tmp_path: Path) -> None:
    first, again = (run(pretrain_job(), tmp_path / name) for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    other = run(pretrain_job(seed=1), tmp_path / "c")
    assert not torch.equal(read_tensors(first)["stem.weight"], read_tensors(other)["stem.weight"])


def test_training_moves_the_backbone_and_its_statistics(tmp_path: Path) -> None:
    trained = read_tensors(run(pretrain_job(), tmp_path))
    torch.manual_seed(0)
    initial = make_backbone(TINY).state_dict()
    assert trained.keys() == initial.keys()
    assert all(not torch.equal(trained[name], initial[name]) for name in initial)
    assert trained["stem_norm.num_batches_tracked"].item() == 4 * 3


def test_scratch_is_the_initialised_backbone_and_needs_nothing(tmp_path: Path) -> None:
    output = run(pretrain_job(method="scratch", options={}), tmp_path, "scratch", index=None, feature_bank=None)
    torch.manual_seed(0)
    initial = make_backbone(TINY).state_dict()
    assert all(torch.equal(tensor, initial[name]) for name, tensor in read_tensors(output).items())
    assert read_record(output).dataset == "none"


def test_a_voxelnet_is_pre_trained_likewise(tmp_path: Path) -> None:
    job = pretrain_job(backbone=TINY_VOXELNET, voxels=BOUNDS)
    output, again = (run(job, tmp_path / name) for name in "ab")
    assert output.read_bytes() == again.read_bytes()
    torch.manual_seed(0)
    initial = make_backbone(TINY_VOXELNET, BOUNDS).state_dict()
    trained = read_tensors(output)
    assert trained.keys() == initial.keys()
    assert all(not torch.equal(trained[name], initial[name]) for name in initial)
    assert read_record(output).voxels == BOUNDS
    floor = pretrain_job(method="scratch", options={}, backbone=TINY_VOXELNET, voxels=BOUNDS)
    scratch = run(floor, tmp_path / "c", "scratch", index=None, feature_bank=None)
    assert all(torch.equal(tensor, initial[name]) for name, tensor in read_tensors(scratch).items())


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    job = pretrain_job(seed=3)
    output = run(job, tmp_path)
    backbone, record = load_backbone(output, job.backbone, job.voxels)
    assert (record.method, record.dataset, record.seed) == ("ppkt", "invented", 3)
    assert (record.backbone, record.voxels) == (job.backbone, job.voxels)
    assert all(torch.equal(tensor, read_tensors(output)[name]) for name, tensor in backbone.state_dict().items())


def test_the_methods_own_weights_are_kept_beside_the_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pretrain_job(seed=3), tmp_path)
    path = tmp_path / "method.safetensors"
    assert isinstance(load_method(path, load_plugin("ppkt")).options, load_plugin("ppkt").Options)
    # They are there before the backbone is, on which others wait.
    path.unlink()
    monkeypatch.setattr("cmcr.pretrain.run.save_backbone", lambda *_: path.stat())
    run(pretrain_job(seed=3), tmp_path)
    run(pretrain_job(method="scratch", options={}), tmp_path / "scratch", "scratch", index=None, feature_bank=None)
    assert not (tmp_path / "scratch" / "method.safetensors").exists()


def test_features_from_an_encoder_in_each_step_equal_those_of_a_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flat(ImageEncoder):
        out_channels = 3

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(images, 8)

    images = torch.linspace(0, 1, 2 * 3 * 32 * 64).reshape(2, 3, 32, 64).mul(255).round().to(torch.uint8)
    monkeypatch.setattr(
        "cmcr.data.images.decode_image",
        lambda camera, _: Image.fromarray(images[int(camera.name == "back")].permute(1, 2, 0).contiguous().numpy()),
    )
    features = Flat()(images.float() / 255).half()
    bank = features.expand(5, *features.shape).numpy()
    job = pretrain_job(recipe=Recipe(epochs=1, batch_size=5, lr=1e-3))
    banked = read_tensors(run(job, tmp_path / "bank", feature_bank=bank))
    encoded = read_tensors(run(job, tmp_path / "steps", encoder=Flat(), feature_bank=None))
    # The bank is in half precision.
    assert all(torch.allclose(banked[name], encoded[name], atol=2e-3) for name in banked if "weight" in name)
