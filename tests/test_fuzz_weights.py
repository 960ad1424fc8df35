"""Every reader of weights on changed bytes: one message or a sound value, never another error or a wrong number."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz import CASES as MANY
from fuzz import FEW, Case, Read, fuzz
from invented import TINY, finetune_job, invented_index
from safetensors.torch import save_file
from torch import Tensor, nn

from baselines.ppkt import PPKT, PPKTOptions
from cmcr.checkpoints import read_content, read_tensors, save_tensors
from cmcr.models.backbone import load_backbone, make_backbone, read_record
from cmcr.models.image_encoder import (
    DINOv2TeacherOptions,
    ImageEncoder,
    SmallResNet,
    SmallTeacherOptions,
    make_image_encoder,
)
from cmcr.models.published import read_published
from cmcr.models.torchvision import from_torchvision
from cmcr.pretrain.learned import load_method, save_method
from cmcr.pretrain.method import Channels
from cmcr.tasks.model import TaskModel, load_model, save_model
from cmcr.tasks.registry import make_task
from cmcr.training import SafeCheckpoints

pytestmark = [pytest.mark.torture, pytest.mark.slow]

SMALL = SmallTeacherOptions(hidden_sizes=(2, 4), out_channels=3)
INDEX = invented_index(1)
#: What is in the PyTorch files.
PLAIN = {"a": torch.arange(300.0), "b": {"c": torch.zeros(2, 2)}, "step": 5}
ORIGINAL: dict[str, Any] = {}


def are_tensors(content: Any) -> bool:
    return all(
        isinstance(tensor, Tensor) and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
        for tensor in content.values()
    )


def same(found: Any, expected: Any) -> bool:
    """Whether nested mappings hold the same."""
    if isinstance(expected, Tensor):
        return isinstance(found, Tensor) and found.dtype == expected.dtype and torch.equal(found, expected)
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(same(found[name], expected[name]) for name in expected)
        )
    return type(found) is type(expected) and found == expected


def same_state(name: str) -> Callable[[nn.Module], bool]:
    return lambda module: same(module.state_dict(), ORIGINAL[name])


def encodes(encoder: ImageEncoder) -> bool:
    """Whether it takes an image and gives what it says it does."""
    with torch.no_grad():
        return encoder(torch.rand(1, 3, 28, 28)).shape[1] == encoder.out_channels and encoder.training is False


def as_metadata(name: str, read: Read, **others: str) -> Read:
    """Read weights whose metadata say what the file holds: of a file that others made, its checksums right."""

    def read_with(path: Path) -> Any:
        weights = path.with_suffix(".safetensors")
        try:
            text = path.read_bytes().decode()
            save_tensors(weights, ORIGINAL[path.stem], {name: text, **others})
        except UnicodeDecodeError:
            return read(path.with_name("none.safetensors"))
        return read(weights)

    return read_with


def model_of(path: Path) -> TaskModel:
    return load_model(path, INDEX)[0]


def backbone_of(path: Path) -> nn.Module:
    record = read_record(path)
    return load_backbone(path, record.backbone, record.voxels)[0]


method_of = partial(load_method, method_class=PPKT)
CLASSES = json.dumps(INDEX.class_names)
CHANNELS = json.dumps({"points": 8, "image": 6})

#: By reader. What has a checksum is as it was, or refused.
CASES: dict[str, Case] = {
    "weights": (
        "weights/backbone.safetensors",
        lambda path: (read_record(path), read_tensors(path)),
        lambda found: found[0] == ORIGINAL["record"] and same(found[1], ORIGINAL["weights"]),
    ),
    "record of weights": (
        "weights/backbone.safetensors", read_record, lambda record: record == ORIGINAL["record"],
    ),
    "record of weights, signed": (
        "weights/weights.backbone", as_metadata("backbone", backbone_of), same_state("weights"),
    ),
    "weights of others": ("weights/other.safetensors", read_content, are_tensors),
    "published weights": ("weights/small.pt", read_content, lambda found: same(found, PLAIN)),
    "weights of an old torch": ("weights/old.pt", read_tensors, are_tensors),
    "published network": ("weights/published.pt", read_published, lambda found: are_tensors(found.tensors)),
    "checkpoint": ("weights/small.ckpt", SafeCheckpoints().load_checkpoint, lambda found: same(found, PLAIN)),
    "model": ("weights/model.safetensors", model_of, same_state("model")),
    "job of a model": ("weights/model.job", as_metadata("job", model_of, class_names=CLASSES), same_state("model")),
    "classes of a model": (
        "weights/model.classes",
        as_metadata("class_names", model_of, job=finetune_job().model_dump_json()),
        same_state("model"),
    ),
    "method": ("weights/method.safetensors", method_of, same_state("method")),
    "options of a method": (
        "weights/method.options",
        as_metadata("options", method_of, plugin="ppkt", channels=CHANNELS),
        same_state("method"),
    ),
    "channels of a method": (
        "weights/method.channels",
        as_metadata("channels", method_of, plugin="ppkt", options=PPKTOptions(channels=8).model_dump_json()),
        same_state("method"),
    ),
    "teacher": ("weights/teacher.safetensors", partial(make_image_encoder, SMALL), encodes),
    "teacher in torchvision's layout": (
        "weights/resnet.pt",
        lambda path: from_torchvision(read_tensors(path), path),
        lambda found: are_tensors(found) and all(isinstance(name, str) for name in found),
    ),
    "DINOv2": (
        "weights/dinov2/model.safetensors",
        lambda path: make_image_encoder(DINOv2TeacherOptions(kind="dinov2", weights=path.parent)),
        encodes,
    ),
    "config of DINOv2": (
        "weights/dinov2/config.json",
        lambda path: make_image_encoder(DINOv2TeacherOptions(kind="dinov2", weights=path.parent)),
        encodes,
    ),
}  # fmt: skip


#: Which build whole networks again and again.
SLOW = {"teacher", "DINOv2", "config of DINOv2", "job of a model", "classes of a model", "record of weights, signed"}


@pytest.fixture(scope="module")
def yard(fuzz_yard: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    folder = fuzz_yard / "weights"
    for name in ("small.pt", "small.ckpt"):
        torch.save(PLAIN, folder / name)
    torch.save({"a": torch.ones(3)}, folder / "old.pt", _use_new_zipfile_serialization=False)
    backbone = make_backbone(TINY)
    model = TaskModel(backbone, make_task("segmentation", backbone, INDEX, {}))
    save_model(folder / "model.safetensors", model, finetune_job(), INDEX)
    (folder / "model.job").write_text(finetune_job().model_dump_json())
    (folder / "model.classes").write_text(CLASSES)
    method = PPKT(PPKTOptions(channels=8), Channels(points=8, image=6))
    save_method(folder / "method.safetensors", method)
    (folder / "method.options").write_text(method.options.model_dump_json())
    (folder / "method.channels").write_text(CHANNELS)
    save_file(SmallResNet(SMALL).state_dict(), folder / "teacher.safetensors")
    names = ("conv1.weight", "layer1.0.bn1.bias", "layer2.0.downsample.0.weight")
    torch.save({"state_dict": {f"module.{name}": torch.ones(2) for name in names}}, folder / "resnet.pt")
    config = Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, patch_size=14, image_size=28)
    Dinov2Model(config).save_pretrained(folder / "dinov2")
    weights = folder / "backbone.safetensors"
    (folder / "weights.backbone").write_text(read_record(weights).model_dump_json())
    ORIGINAL.update(record=read_record(weights), weights=read_tensors(weights))
    ORIGINAL.update(model=model.state_dict(), method=method.state_dict())
    return fuzz_yard


@pytest.mark.parametrize("reader", CASES)
def test_changed_weights_are_refused_or_sound(yard: Path, reader: str) -> None:
    file, read, sound = CASES[reader]
    fuzz(yard / file, read, sound, FEW if reader in SLOW else MANY)
