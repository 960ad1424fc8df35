from pathlib import Path

import pytest
import torch

from baselines.pixel_position import PixelPosition
from baselines.ppkt import PPKT, PPKTOptions
from cmcr.checkpoints import save_tensors
from cmcr.errors import WeightsError
from cmcr.pretrain.learned import load_method, save_method
from cmcr.pretrain.method import Channels


def a_method() -> PPKT:
    torch.manual_seed(0)
    return PPKT(PPKTOptions(channels=8, num_pairs=7), Channels(points=4, image=6))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = a_method()
    save_method(tmp_path / "method.safetensors", saved)
    loaded = load_method(tmp_path / "method.safetensors", PPKT)
    assert (loaded.options, loaded.channels, loaded.training) == (saved.options, saved.channels, False)
    assert all(torch.equal(tensor, saved.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_another_methods_weights_are_refused(tmp_path: Path) -> None:
    save_method(tmp_path / "method.safetensors", a_method())
    with pytest.raises(WeightsError, match=r"expected: weights of pixel_position\n  found:    of ppkt"):
        load_method(tmp_path / "method.safetensors", PixelPosition)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"plugin": "ppkt"},
        {"plugin": "ppkt", "options": "{", "channels": "{}"},
        {"plugin": "ppkt", "options": '{"older": 1}', "channels": '{"points": 4, "image": 6}'},
        {"plugin": "ppkt", "options": "{}", "channels": '{"voxels": 4}'},
        {"plugin": "ppkt", "options": "{}", "channels": "4"},
    ],
)
def test_a_file_without_a_fitting_record_is_refused(tmp_path: Path, record: dict[str, str]) -> None:
    save_tensors(tmp_path / "method.safetensors", a_method().state_dict(), record)
    with pytest.raises(WeightsError, match="no such record, or one of another version"):
        load_method(tmp_path / "method.safetensors", PPKT)


def test_heads_far_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    record = {"plugin": "ppkt", "options": "{}", "channels": '{"points": 100000, "image": 6}'}
    save_tensors(tmp_path / "method.safetensors", a_method().state_dict(), record)
    with pytest.raises(WeightsError, match="6400000 numbers as weight; the largest tensor in the file has 48"):
        load_method(tmp_path / "method.safetensors", PPKT)


def test_weights_of_other_options_are_refused(tmp_path: Path) -> None:
    record = {"plugin": "ppkt", "options": '{"channels": 16}', "channels": '{"points": 4, "image": 6}'}
    save_tensors(tmp_path / "method.safetensors", a_method().state_dict(), record)
    with pytest.raises(WeightsError, match=r"\(8,\) in the file, \(16,\) in the network"):
        load_method(tmp_path / "method.safetensors", PPKT)
