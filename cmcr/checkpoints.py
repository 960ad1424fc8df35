"""Reading and writing weights: never any code in the file, never a network half filled."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from cmcr.errors import CMCRError, WeightsError
from cmcr.files import sha256_of_json, write_bytes
from cmcr.reading import check_regular, parse_json

#: The entry of a safetensors header that holds our metadata.
_METADATA = "cmcr"
#: Among it, digests of the tensors, and of everything else with that of the tensors: safetensors has none of its own.
_TENSORS, _RECORD = "tensors_sha256", "record_sha256"
#: Values in a weight file, nested ones included. Published files have some hundreds.
_MAX_VALUES = 1_000_000
_MAX_DEPTH = 50

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically. ``metadata`` says what they are; equal content gives equal bytes."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    record = {**(metadata or {}), _TENSORS: _digest(contiguous)}
    record[_RECORD] = sha256_of_json(record)
    # One entry for all of it: safetensors writes several in an order that changes from one process to the next.
    # Not by safetensors' own writer, whose error does not let one tell a full disk from a defect.
    write_bytes(path, save(contiguous, metadata={_METADATA: json.dumps(record, sort_keys=True)}))


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or of a PyTorch file, to the CPU.

    PyTorch files are read with ``weights_only=True``: a file that carries code is refused, not run. Codes that keep
    their weights one level down (``state_dict``, ``model``, ``model_points``, ``teacher``) are understood.

    Raises:
        WeightsError: missing, truncated or unsafe file.
    """
    return _tensors_in(read_content(path), Path(path))


def read_content(path: Path | str) -> Any:
    """Read all that a ``.safetensors`` or PyTorch file holds, as safely as `read_tensors`: tensors and plain values.

    Raises:
        WeightsError: missing, truncated or unsafe file.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
                record = _record_of(file)
            if record and record[_TENSORS] != _digest(tensors):
                raise ValueError("the numbers do not fit the file's own checksum")
            return tensors
        _check_archive(path)
        content = torch.load(_source(path), map_location="cpu", weights_only=True)
        _check_size(content)
        return content
    except pickle.UnpicklingError as error:
        # Torch begins with the advice to read the file in the unsafe way, which is not passed on.
        lines = str(error).partition("WeightsUnpickler error:")[2].strip().splitlines() or str(error).splitlines()
        reason = next((line for line in lines if "GLOBAL" in line), lines[0] if lines else "a pickle")
        raise WeightsError(
            f"{path}: refused: it is no PyTorch file of tensors alone, and reading more could run code from it\n"
            f"  found:    {reason.strip()}\n"
            "  way out:  save plain tensors (a state_dict) with the code that made it"
        ) from error
    except Exception as error:  # damaged bytes make torch raise nearly anything, down to a KeyError
        raise _damaged(path, error) from error


def read_metadata(path: Path | str) -> dict[str, str]:
    """Read the ``metadata`` that `save_tensors` was given; empty for a file that it did not write.

    Raises:
        WeightsError: missing or damaged file.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    try:
        with safe_open(path, framework="pt") as file:
            record = _record_of(file)
        return {name: value for name, value in record.items() if name not in (_TENSORS, _RECORD)}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _record_of(file: Any) -> dict[str, str]:
    """Return what `save_tensors` wrote beside the tensors of an open file; nothing of a file that it did not write."""
    text = (file.metadata() or {}).get(_METADATA)
    if text is None:
        return {}
    record = parse_json(text)
    if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
        raise ValueError("its record is no mapping from names to texts")
    rest = {name: value for name, value in record.items() if name != _RECORD}
    if _TENSORS not in rest or record.get(_RECORD) != sha256_of_json(rest):
        raise ValueError("its record does not fit its own checksum, or is of another version of this project")
    return record


def _check_archive(path: Path) -> None:
    """Refuse an archive that would unpack to more than it takes, as torch packs nothing, or that has turned bits.

    Each entry has a checksum, at which torch does not look.
    """
    size = check_regular(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > size:
                raise ValueError(f"{size} bytes that would unpack to {unpacked}; torch.save packs nothing")
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} does not fit its own checksum")


def _source(path: Path) -> Path | io.BytesIO:
    """Return what torch is to read: an archive, or all bytes of anything else, and no more than these.

    From a file that is no archive it would read texts as long as the file says, and ask for as much memory.
    """
    with path.open("rb") as file:
        return path if file.read(4) == b"PK\3\4" else io.BytesIO(path.read_bytes())


def _check_size(content: Any) -> None:
    """Refuse tensors that have no memory of their own behind each of their numbers, and values nested without an end.

    A tensor in a file may be a view that shows one number a billion times, and a mapping one that is in itself.
    """
    waiting, seen = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > _MAX_VALUES or depth > _MAX_DEPTH:
            raise ValueError("more values than a weight file has, or nested more deeply")
        if isinstance(value, Tensor):
            dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
            if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError(f"a tensor of shape {tuple(value.shape)} that is not stored number by number")
        elif isinstance(value, Mapping):
            waiting += [(below, depth + 1) for below in value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += [(below, depth + 1) for below in value]


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return WeightsError(
        f"{path}: damaged or truncated weight file, or none at all: {reason}\n  way out:  fetch or make it again"
    )


def _tensors_in(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in ("state_dict", "model_points", "model", "teacher"):
            if isinstance(content.get(key), Mapping):
                return _tensors_in(content[key], path)
        tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors and all(isinstance(name, str) for name in tensors):
            return tensors
    raise WeightsError(f"{path}: expected a mapping from names to tensors, found {type(content).__name__}")


def build(make: Callable[[], AnyModule], path: Path | str) -> AnyModule:
    """Build the module that a weight file describes, and fill it; see `load_strictly`.

    It is built without memory first. What does not fit the tensors in the file is refused before any is asked for.

    Raises:
        WeightsError: the file is missing or damaged, or describes another module, or none that can be built.
    """
    tensors = read_tensors(path)
    with described(path, tensors), torch.device("meta"):
        check_fits(make(), tensors, path)
    module = make()
    load_strictly(module, tensors, path)
    return module


@contextmanager
def described(path: Path | str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse a module, built in the block, that has no end or cannot be built as a file describes it.

    Bounds are wide: `load_strictly` says it better where a module is merely of another size.

    Args:
        path: the file, for messages.
        tensors: what is in the file.

    Raises:
        WeightsError: for whatever the block raises, since it is the file's.
    """
    parameters, largest = 0, max((tensor.numel() for tensor in tensors.values()), default=0)

    def count(_module: nn.Module, name: str, parameter: Tensor) -> None:
        nonlocal parameters
        parameters += 1
        if parameters > 10 * len(tensors):
            raise ValueError(f"more parameters than the file has tensors, {len(tensors)}")
        if not parameter.is_meta and parameter.numel() > 100 * largest:
            raise ValueError(f"{parameter.numel()} numbers as {name}; the largest tensor in the file has {largest}")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # torch raises nearly anything for a size that cannot be
        reason = str(error) if isinstance(error, CMCRError) else (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{path}: describes no network that can be built: {reason}\n  way out:  fetch or make it again"
        ) from error
    finally:
        hook.remove()


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], path: Path | str) -> None:
    """Fill ``module`` with ``tensors``: every tensor of the one must be in the other, with the same shape.

    Raises:
        WeightsError: see `check_fits`.
    """
    check_fits(module, tensors, path)
    module.load_state_dict({**module.state_dict(), **tensors})


def check_fits(module: nn.Module, tensors: Mapping[str, Tensor], path: Path | str) -> None:
    """Refuse tensors that do not fill a module.

    Raises:
        WeightsError: says how many tensors fit and names the first that is missing, left over, of another shape, or
            not of floats where the module has some.
    """
    expected = module.state_dict()
    # Counters of BatchNorm are absent from files written before torch 1.0; they have no part in the result.
    missing = [name for name in expected if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in expected]
    reshaped = [n for n, t in tensors.items() if n in expected and t.shape != expected[n].shape]
    # Torch would take whole numbers, of quantised weights for example, and the real parts of complex ones.
    floats = {name for name, tensor in expected.items() if tensor.is_floating_point()}
    recast = [name for name, tensor in tensors.items() if name in floats and not tensor.is_floating_point()]
    if missing or unknown or reshaped or recast:
        fitting = len(expected) - len(missing) - len({*reshaped, *recast})
        lines = [f"{path} fills {fitting} of {len(expected)} tensors of {type(module).__name__}"]
        if missing:
            lines.append(f"  first missing:  {missing[0]} ({len(missing)} in all)")
        if unknown:
            lines.append(f"  first unknown:  {unknown[0]} ({len(unknown)} in all)")
        if reshaped:
            name = reshaped[0]
            there, here = tuple(tensors[name].shape), tuple(expected[name].shape)
            lines.append(f"  first of another shape: {name}, {there} in the file, {here} in the network")
        if recast:
            lines.append(
                f"  first of no floats: {recast[0]}, {tensors[recast[0]].dtype} in the file ({len(recast)} in all)"
            )
        lines.append("  way out:  use the weights with the network options they were trained with")
        raise WeightsError("\n".join(lines))
