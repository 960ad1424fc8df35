"""What `damage` is made of: what a damage is, and changes of files."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]

#: JSON or YAML without an end.
DEEP = "[" * 100_000

Change = Callable[[Path], object]
#: Gets the folder of the damaged data and one for what is written; returns the arguments of ``cmcr``.
Command = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Damage:
    """One damaged input.

    Attributes:
        group: what is damaged; a folder below the yard has its name.
        name: how, in words.
        file: below the group's folder; the answer has to name it.
        change: damages it, in a copy of the group's folder.
        command: what meets it.
        reason: a pattern that the answer has to match.
        claims_memory: whether it is run with little memory, because it claims to be huge.
    """

    group: str
    name: str
    file: str
    change: Change
    command: Command
    reason: str
    claims_memory: bool = False

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"

    def check(self, text: str) -> bool:
        return re.search(self.reason, text) is not None


@dataclass(frozen=True)
class Answer:
    """What a command did: its exit code, all it printed, and the files that it left."""

    code: int
    text: str
    left: tuple[str, ...]
    work_s: float


def put(path: Path, content: bytes) -> None:
    """Give a file another content; copies share files with the original, so it is never written into."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def on(file: str, change: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of a file."""
    return lambda folder: put(folder / file, change((folder / file).read_bytes()))


def becomes(file: str, content: bytes | str) -> Change:
    return lambda folder: put(folder / file, content.encode() if isinstance(content, str) else content)


def gone(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


def cut(file: str, kept: float = 0.6) -> Change:
    return on(file, lambda content: content[: int(len(content) * kept)])


def turned(file: str) -> Change:
    """Turn a bit in the middle."""

    def change(content: bytes) -> bytes:
        half = len(content) // 2
        return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]

    return on(file, change)


def swapped(file: str, old: str, new: str) -> Change:
    def change(content: bytes) -> bytes:
        assert old.encode() in content, (file, old)
        return content.replace(old.encode(), new.encode(), 1)

    return on(file, change)


def numbers(file: str, place: int, value: float, kind: str = "<f4") -> Change:
    """Set one number of a file of them."""

    def change(content: bytes) -> bytes:
        values = np.frombuffer(content, dtype=kind).copy()
        values[place] = value
        return values.tobytes()

    return on(file, change)


def instead(file: str, make: Callable[[Path], object]) -> Change:
    """Put something that is no file in a file's place."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return change


def field(file: str, name: str, value: Any, place: int = 0) -> Change:
    """Set a field of one record of a JSON table."""

    def change(content: bytes) -> bytes:
        records = json.loads(content)
        assert name in records[place]
        records[place][name] = value
        return json.dumps(records).encode()

    return on(file, change)


def values(file: str, change: Callable[[Any], Any]) -> Change:
    """Change the value that a JSON file holds."""
    return on(file, lambda content: json.dumps(change(json.loads(content))).encode())


def of_frame(**changes: Any) -> Callable[[Any], Any]:
    """Change the first frame of a converted segment."""

    def change(content: Any) -> Any:
        content["frames"][0] |= changes
        return content

    return change


def sparse_file(path: Path) -> None:
    """A file of a terabyte that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)


def png(width: int, height: int, rows: bytes = b"\0" * 64) -> bytes:
    """A PNG that claims any size and holds ``rows``."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def npy(shape: tuple[int, ...], kind: str = "<f2", content: bytes = b"") -> bytes:
    """An array whose header claims any shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def npz(content: bytes, name: str = "data.npy") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def pickled_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Trap("sprung")], dtype=object), allow_pickle=True)
    return file.getvalue()


class Trap:
    """Makes a file in the working folder if it is unpickled."""

    def __init__(self, name: str):
        self.name = name

    def __reduce__(self) -> Any:
        return os.mknod, (self.name,)


def torch_file(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def packed(content: bytes) -> bytes:
    """The same archive with its entries packed, and one of them much larger."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry) + bytes(2**28 if entry.filename.endswith("data/0") else 0))
    return file.getvalue()


def in_itself() -> dict[str, Any]:
    content: dict[str, Any] = {"a": torch.ones(1)}
    content["model"] = content
    return content


def layers_of_references(key: str) -> str:
    """Ten lines of YAML that stand for ten thousand million values."""
    lines = [f"{key}: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines) + "\n"


def header_of_index(**changes: Any) -> Callable[[bytes], bytes]:
    """Change the header of a scan index and give it a right checksum, as someone who knows how would."""
    from cmcr.files import sha256_of_json

    def change(content: bytes) -> bytes:
        first, rest = content.split(b"\n", 1)
        header = json.loads(first) | changes
        header["header_checksum"] = sha256_of_json({k: v for k, v in header.items() if k != "header_checksum"})
        return json.dumps(header).encode() + b"\n" + rest

    return change


def record_of_index(**changes: Any) -> Callable[[bytes], bytes]:
    """Change the first record of a scan index likewise."""
    import hashlib

    def change(content: bytes) -> bytes:
        _, first, *others = content.split(b"\n")
        lines = b"\n".join([json.dumps(json.loads(first) | changes).encode(), *others])
        return header_of_index(checksum=hashlib.sha256(lines).hexdigest())(content.split(b"\n")[0] + b"\n" + lines)

    return change


def safetensors(header: Any, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text
