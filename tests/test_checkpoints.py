"""Weights: nothing in a file is run, nothing is half loaded."""

from __future__ import annotations

import pickle
import re
import struct
from itertools import count
from pathlib import Path

import pytest
import torch
from limits import in_memory, ran_out_of_memory
from safetensors.torch import save_file
from torch import nn

from cmcr.checkpoints import build, described, load_strictly, read_metadata, read_tensors, save_tensors
from cmcr.errors import WeightsError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3), "c": torch.ones(2, dtype=torch.float16)}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_what_is_saved_is_read(tmp_path: Path):
    path = tmp_path / "folder" / "weights.safetensors"
    save_tensors(path, TENSORS, {"method": "ppkt"})
    read = read_tensors(path)
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[n], TENSORS[n]) and read[n].dtype == TENSORS[n].dtype for n in TENSORS)
    assert read_metadata(path) == {"method": "ppkt"}


def test_same_tensors_same_bytes(tmp_path: Path):
    for name in ("one", "two"):
        save_tensors(tmp_path / f"{name}.safetensors", TENSORS, {"x": "1", "y": "2"})
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, TENSORS)
    shared_memory = torch.ones(3)
    with pytest.raises(RuntimeError):
        save_tensors(path, {"a": shared_memory, "b": shared_memory})
    assert read_tensors(path).keys() == TENSORS.keys()
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize(
    "wrap", [lambda t: t, *(lambda t, k=k: {k: t, "epoch": 3} for k in ("state_dict", "model", "teacher"))]
)
def test_pytorch_files_plain_or_one_level_down(tmp_path: Path, wrap):
    torch.save(wrap(dict(TENSORS)), tmp_path / "weights.pt")
    assert read_tensors(tmp_path / "weights.pt").keys() == TENSORS.keys()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_not_cast(dtype: torch.dtype):
    module = nn.Linear(2, 1)
    with pytest.raises(WeightsError, match=r"(?s)fills 1 of 2 tensors.*first of no floats: weight, torch\."):
        load_strictly(module, {"weight": torch.ones(1, 2).to(dtype), "bias": torch.ones(1).half()}, "a.pt")


def test_a_turned_bit_in_a_pytorch_file_is_found(tmp_path: Path):
    """Torch writes a checksum of each tensor, and reads without a look at it."""
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.full((9,), 0.5)}, path)
    content = path.read_bytes()
    place = content.index(struct.pack("<f", 0.5))
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    assert torch.load(path, weights_only=True)["a"][0] != 0.5
    with pytest.raises(WeightsError, match=r"weights\.pt[\s\S]*data/0 does not fit its own checksum"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.Linear(10**9, 10**9), "tensors of Linear"),
        (lambda: nn.Linear(-1, 2), "negative dimension"),
        (
            lambda: nn.Sequential(*(nn.Linear(1, 1) for _ in count())),
            "more parameters than the file has tensors, 2",
        ),
    ],
)
def test_a_network_that_is_none_is_refused_before_memory_is_asked_for(tmp_path: Path, make, reason: str):
    path = tmp_path / "a.safetensors"
    save_tensors(path, nn.Linear(3, 2).state_dict())
    assert build(lambda: nn.Linear(3, 2), path).in_features == 3
    with in_memory(2**28), pytest.raises(WeightsError, match=rf"a\.safetensors[\s\S]*{reason}") as caught:
        build(make, path)
    assert not ran_out_of_memory(caught.value)


def test_a_network_larger_than_its_file_is_refused_before_it_is_filled(tmp_path: Path) -> None:
    tensors = nn.Linear(3, 2).state_dict()
    with described(tmp_path / "a.safetensors", tensors):
        nn.Linear(3, 2)
    larger = r"a\.safetensors: describes no network.*numbers as weight"
    with pytest.raises(WeightsError, match=larger), described(tmp_path / "a.safetensors", tensors):
        nn.Linear(10**4, 10**4)


@pytest.mark.parametrize("content", [[torch.ones(1)], {"epoch": 3}, {}, torch.ones(1), {5: torch.ones(1)}])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: object):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="expected a mapping from names to tensors"):
        read_tensors(tmp_path / "weights.pt")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "old torch", "pickle"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, writer: str):
    path, traps = tmp_path / "weights.pt", tmp_path / "sprung"
    content = {"a": torch.ones(1), "trap": Payload(traps)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))}: refused: it is no PyTorch file of tensors alone"):
        read_tensors(path)
    assert not traps.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, kept: float):
    path = tmp_path / f"weights{suffix}"
    tensors = {"a": torch.arange(5000.0)}
    if suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(WeightsError, match=re.escape(str(path)) + ": damaged or truncated weight file"):
        read_tensors(path)
    if suffix == ".safetensors":
        with pytest.raises(WeightsError, match="damaged or truncated"):
            read_metadata(path)


@pytest.mark.parametrize("content", [b"hello, world", b"<!DOCTYPE html><title>404</title>", bytes(100)])
def test_files_that_hold_something_else_are_named(tmp_path: Path, content: bytes):
    for path in (tmp_path / "weights.pth", tmp_path / "weights.safetensors"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=re.escape(str(path))):
            read_tensors(path)


@pytest.mark.parametrize("read", [read_tensors, read_metadata])
def test_missing_files_are_named(tmp_path: Path, read):
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such weight file"):
        read(tmp_path / "none.safetensors")


def test_every_tensor_is_filled():
    source, target = network(), network()
    load_strictly(target, source.state_dict(), "file")
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )


def test_batch_norm_counters_may_be_absent():
    state = {n: t for n, t in network().state_dict().items() if n != "1.num_batches_tracked"}
    load_strictly(network(), state, "file")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"0.bias": None}, r"file fills 6 of 7 tensors of Sequential\n  first missing:  0\.bias \(1 in all\)"),
        ({"0.bias": None, "0.weight": None}, r"fills 5 of 7 .*\n  first missing:  0\.weight \(2 in all\)"),
        ({"2.weight": torch.ones(1)}, r"fills 7 of 7 .*\n  first unknown:  2\.weight \(1 in all\)"),
        (
            {"0.weight": torch.ones(2, 4)},
            r"fills 6 of 7 .*\n  first of another shape: 0\.weight, \(2, 4\) in the file, \(2, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_loaded(change: dict, complaint: str):
    target = network()
    before = {n: t.clone() for n, t in target.state_dict().items()}
    state = {n: t for n, t in {**network().state_dict(), **change}.items() if t is not None}
    with pytest.raises(WeightsError, match=complaint):
        load_strictly(target, state, "file")
    assert all(torch.equal(t, before[n]) for n, t in target.state_dict().items())
