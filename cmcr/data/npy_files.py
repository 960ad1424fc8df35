"""Arrays in numpy's own files, whose size is compared with the file's before memory is asked for."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cmcr.reading import check_regular

#: A header of a plain array takes 128 bytes.
_MAX_HEADER_BYTES = 2**14


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of an ``.npy`` file. Nothing is unpickled.

    Raises:
        OSError: the file is missing, cannot be read, or is no regular file.
        ValueError: it is damaged, or holds something else than the numbers that its header tells of.
    """
    size = check_regular(path)
    with path.open("rb") as file:
        _check_header(file, size)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def map_npy(path: Path) -> NDArray[Any]:
    """Return the array of an ``.npy`` file without reading it whole; see `read_npy`."""
    size = check_regular(path)
    with path.open("rb") as file:
        _check_header(file, size)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_npz(path: Path, name: str, most_bytes: int) -> NDArray[Any]:
    """Return the array ``name`` of an ``.npz`` archive; whatever else is in there is not looked at.

    Args:
        path: the archive.
        name: of the array, without its suffix.
        most_bytes: what the array may take; a larger one is not unpacked, however small it was packed.

    Raises:
        OSError: the file is missing, cannot be read, or is no regular file.
        ValueError: it is damaged, has no such array, or one that is too large or holds something else than numbers.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            if entry.file_size > most_bytes + _MAX_HEADER_BYTES:
                raise ValueError(f"array {name!r} of {entry.file_size} bytes, at most {most_bytes} expected")
            with archive.open(entry) as file:
                _check_header(file, entry.file_size)
            with archive.open(entry) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError):
        raise
    except KeyError:
        raise ValueError(f"no array {name!r}") from None
    except Exception as error:  # what zipfile and its decoders raise depends on where the archive is damaged
        raise ValueError(str(error) or type(error).__name__) from None


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse a file of ``size`` bytes whose header tells of more or fewer."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(file)
    except OSError:
        raise
    except Exception as error:  # numpy reads it as Python's literals; damaged, it raises nearly anything
        raise ValueError(f"no header of a numpy array: {error}") from None
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype} and shape {shape}; only numbers are read (allow_pickle is off)")
    told = file.tell() + math.prod(shape) * dtype.itemsize
    if told != size:
        raise ValueError(f"{size} bytes, though its header tells of {told}")
