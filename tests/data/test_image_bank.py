from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from limits import files_up_to, small_disk
from torch import Tensor

from cmcr.data.image_bank import IndexImages, read_feature_bank, write_feature_bank
from cmcr.data.images import read_resized
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_index import make_index
from cmcr.errors import DataError, OutputError

SIZE = (28, 50)


@pytest.fixture(scope="module")
def index(toy_nuscenes: Path) -> ScanIndex:
    return make_index("toy", toy_nuscenes, "v1.0-mini", "mini_val")


def halve(images: Tensor) -> Tensor:
    """An encoder whose two channels are the red values of every second pixel, once as they are and once negated."""
    red = images[:, :1, ::2, ::2]
    return torch.cat([red, -red], dim=1)


def test_all_images_stand_scan_by_scan_in_the_order_of_the_cameras(index: ScanIndex) -> None:
    images = IndexImages(index, SIZE)
    assert len(images) == 6 * len(index)
    chosen = images[np.array([0, 6 + 2])]
    assert chosen.shape == (2, 3, *SIZE)
    assert chosen.dtype == torch.uint8
    assert chosen.is_contiguous()
    second = index.read(1).cameras[2]
    np.testing.assert_array_equal(chosen[1].permute(1, 2, 0).numpy(), read_resized(second, SIZE))


def test_the_bank_holds_what_the_encoder_says_of_each_image(index: ScanIndex, tmp_path: Path) -> None:
    write_feature_bank(tmp_path / "bank.npy", index, SIZE, halve)
    bank = read_feature_bank(tmp_path / "bank.npy")
    assert bank.shape == (len(index), 6, 2, 14, 25)
    assert bank.dtype == np.float16
    images = IndexImages(index, SIZE)[np.arange(6 * len(index))].float() / 255
    np.testing.assert_allclose(bank.reshape(-1, 2, 14, 25), halve(images).numpy(), atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npy"]


def test_a_failure_leaves_no_bank(index: ScanIndex, tmp_path: Path) -> None:
    def fail(_: Tensor) -> Tensor:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_feature_bank(tmp_path / "bank.npy", index, SIZE, fail)
    assert list(tmp_path.iterdir()) == []


def test_where_it_does_not_fit_there_is_an_error_and_no_signal(index: ScanIndex, tmp_path: Path) -> None:
    # A mapped file grows by its name alone; the disk refuses its pages later, by a signal that ends the process.
    with small_disk(tmp_path / "disk", kilobytes=8) as disk:
        with pytest.raises(OutputError, match="No space left on device"):
            write_feature_bank(disk / "bank.npy", index, SIZE, halve)
        assert list(disk.iterdir()) == []
    with files_up_to(4096), pytest.raises(OutputError, match="File too large"):
        write_feature_bank(tmp_path / "bank.npy", index, SIZE, halve)


def test_the_bank_is_a_plain_npy_file(index: ScanIndex, tmp_path: Path) -> None:
    write_feature_bank(tmp_path / "bank.npy", index, SIZE, halve)
    np.save(tmp_path / "saved.npy", np.array(read_feature_bank(tmp_path / "bank.npy")))
    assert (tmp_path / "bank.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"no npy file", "short"])
def test_a_bad_bank_is_named(index: ScanIndex, tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "bank.npy"
    if content == "short":
        write_feature_bank(path, index, SIZE, halve)
        path.write_bytes(path.read_bytes()[:-100])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        read_feature_bank(path)
