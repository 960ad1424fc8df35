"""Image encoders: published files are read strictly, and the small one is whitened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cmcr.errors import WeightsError
from cmcr.models.image_encoder import (
    DINOv2TeacherOptions,
    ResNet50,
    ResNet50TeacherOptions,
    SmallResNet,
    SmallTeacherOptions,
    make_image_encoder,
)

SMALL = SmallTeacherOptions(hidden_sizes=(8, 16), out_channels=12)


@pytest.fixture(scope="module")
def resnet50() -> ResNet50:
    torch.manual_seed(0)
    encoder = ResNet50()
    for name, buffer in encoder.network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return encoder.frozen()


def torchvision_names(state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Rename a transformers ResNet as torchvision's class names its parts; BatchNorm counters are left out."""
    renamed = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        *path, leaf = name.split(".")
        kind = "conv" if path[-1] == "convolution" else "bn"
        if path[0] == "embedder":
            new = f"{kind}1"
        else:
            stage, block = int(path[2]) + 1, path[4]
            last = f"{kind}{int(path[6]) + 1}" if path[5] == "layer" else f"downsample.{'01'[kind == 'bn']}"
            new = f"layer{stage}.{block}.{last}"
        renamed[f"{prefix}{new}.{leaf}"] = tensor.clone()
    return renamed


def images(number: int = 2, height: int = 64, width: int = 96) -> Tensor:
    return torch.rand(number, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_names_are_torchvisions(resnet50: ResNet50):
    """Guard the test's own renaming by names and shapes that torchvision's documentation and files show."""
    state = torchvision_names(resnet50.network.state_dict())
    assert len(state) == 265  # 53 convolutions and 53 norms of four tensors each
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer3.5.conv2.weight"].shape == (256, 256, 3, 3)
    assert state["layer4.2.bn3.running_var"].shape == (2048,)


@pytest.mark.parametrize(
    ("prefix", "extra"),
    [
        ("", {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}),
        (
            "module.encoder_q.",  # MoCo v2: its projection head, the momentum encoder and the queue are in the file too
            {
                "module.encoder_q.fc.0.weight": torch.zeros(2048, 2048),
                "module.encoder_q.fc.2.bias": torch.zeros(128),
                "module.encoder_k.conv1.weight": torch.zeros(64, 3, 7, 7),
                "module.queue": torch.zeros(128, 8),
            },
        ),
        (
            "module.",
            {"module.projection_head.0.weight": torch.zeros(2048, 2048), "module.prototypes.weight": torch.zeros(1)},
        ),
    ],
    ids=["torchvision", "moco", "swav"],
)
def test_resnet50_from_published_layouts(resnet50: ResNet50, tmp_path: Path, prefix: str, extra: dict[str, Tensor]):
    path = tmp_path / "weights.pth.tar"
    state = {**torchvision_names(resnet50.network.state_dict(), prefix), **extra}
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state}, path)
    loaded = make_image_encoder(ResNet50TeacherOptions(kind="resnet50", weights=path))
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert torch.equal(loaded(images()), resnet50(images()))
    assert loaded(images()).shape == (2, loaded.out_channels, 2, 3)


def test_a_part_that_nobody_knows_is_refused(resnet50: ResNet50, tmp_path: Path):
    path = tmp_path / "weights.pth"
    torch.save({**torchvision_names(resnet50.network.state_dict()), "layer5.0.conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"first unknown:  encoder\.stages\.4\..* \(1 in all\)"):
        make_image_encoder(ResNet50TeacherOptions(kind="resnet50", weights=path))


def test_a_smaller_resnet_is_refused(tmp_path: Path):
    path = tmp_path / "resnet18.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}, path)
    with pytest.raises(
        WeightsError, match=rf"{re.escape(str(path))} fills .* tensors of ResNetModel\n  first missing: "
    ):
        make_image_encoder(ResNet50TeacherOptions(kind="resnet50", weights=path))


def test_what_is_no_resnet_is_refused(tmp_path: Path):
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(1)}, tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match=r"vit\.pth: no tensor named conv1\.weight; this is not a ResNet"):
        make_image_encoder(ResNet50TeacherOptions(kind="resnet50", weights=tmp_path / "vit.pth"))


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (ResNet50TeacherOptions(kind="resnet50", weights=Path("none.pth")), "github.com/facebookresearch/moco"),
        (DINOv2TeacherOptions(kind="dinov2", weights=Path("none")), "huggingface.co/facebook/dinov2-small"),
    ],
)
def test_a_missing_file_says_where_to_get_it(options, where: str):
    with pytest.raises(WeightsError, match=f"none.*no such file .config key teacher.weights.(.|\n)*{where}"):
        make_image_encoder(options)


@pytest.fixture
def dinov2_folder(tmp_path: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=56)
    Dinov2Model(config).save_pretrained(tmp_path)
    return tmp_path


def test_dinov2_from_a_local_folder(dinov2_folder: Path):
    from transformers import Dinov2Model

    encoder = make_image_encoder(DINOv2TeacherOptions(kind="dinov2", weights=dinov2_folder))
    image = images(1, 28, 42)
    features = encoder(image)
    assert features.shape == (1, 24, 2, 3)
    assert encoder.out_channels == 24
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    tokens = Dinov2Model.from_pretrained(dinov2_folder).eval()((image - mean) / std).last_hidden_state
    torch.testing.assert_close(features[0, :, 1, 2], tokens[0, 1 + 5])  # token 0 is the class's, then row by row


def test_dinov2_takes_images_of_any_size(dinov2_folder: Path):
    encoder = make_image_encoder(DINOv2TeacherOptions(kind="dinov2", weights=dinov2_folder))
    assert encoder(images(1, 60, 100)).shape == (1, 24, 4, 7)
    assert encoder(images(1, 5, 5)).shape == (1, 24, 1, 1)


def test_dinov2_with_a_tensor_too_few_is_refused(dinov2_folder: Path):
    from safetensors.torch import load_file

    path = dinov2_folder / "model.safetensors"
    state = load_file(path)
    del state["layernorm.bias"]
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"missing_keys: layernorm.bias \(1 in all\)"):
        make_image_encoder(DINOv2TeacherOptions(kind="dinov2", weights=dinov2_folder))


def test_small_encoder_from_its_file(tmp_path: Path):
    torch.manual_seed(0)
    encoder = SmallResNet(SMALL)
    encoder.frozen()
    save_file(encoder.state_dict(), tmp_path / "teacher.safetensors")
    loaded = make_image_encoder(SMALL, tmp_path / "teacher.safetensors")
    assert torch.equal(loaded(images()), encoder(images()))
    assert loaded(images()).shape == (2, 12, 16, 24)
    with pytest.raises(WeightsError, match="of another shape"):
        make_image_encoder(SMALL.model_copy(update={"out_channels": 8}), tmp_path / "teacher.safetensors")
    with pytest.raises(WeightsError, match="cmcr train-teacher"):
        make_image_encoder(SMALL)


def test_whitening_gives_uncorrelated_channels_of_unit_variance():
    torch.manual_seed(0)
    encoder = SmallResNet(SMALL)
    encoder.frozen()
    encoder.fit_whitening(images(20))
    cells_NC = encoder(images(20)).permute(0, 2, 3, 1).flatten(0, 2).double()
    torch.testing.assert_close(cells_NC.mean(0), torch.zeros(12).double(), rtol=0, atol=1e-3)
    # Of unit variance up to the small share that keeps the weakest components from being blown up.
    covariance = torch.cov(cells_NC.T)
    assert covariance.diagonal().max() < 1.001
    assert covariance.diagonal()[:4].min() > 0.95
    torch.testing.assert_close(
        covariance - covariance.diagonal().diag(), torch.zeros(12, 12).double(), rtol=0, atol=1e-3
    )
