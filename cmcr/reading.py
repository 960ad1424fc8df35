"""Reading small files that come from elsewhere: whole, or refused as an `OSError` or `ValueError` with a reason."""

from __future__ import annotations

import errno
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Largest text file that is read at once. The poses of SemanticKITTI's longest sequence take 1 MB, a segment's JSON of
#: Waymo less than that, the published numbers 0.2 MB.
MAX_TEXT_BYTES = 2**27
#: Of a whole number in JSON. What has more than 308 cannot be made a float.
_MOST_DIGITS = 300
#: How JSON spells half a character.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Return the content of a file, links followed.

    Args:
        path: the file.
        limit: bytes that it may have; what is larger is not read.

    Raises:
        OSError: it is missing, cannot be read, is too large, or is no regular file: a pipe or a device never ends.
    """
    check_regular(path, limit)
    return path.read_bytes()


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the content of a text file in UTF-8.

    Raises:
        OSError: see `read_bytes`.
        UnicodeDecodeError: it is no text in UTF-8.
    """
    return read_bytes(path, limit).decode("utf-8")


def check_regular(path: Path, limit: int | None = None) -> int:
    """Return the size of a file in bytes.

    Raises:
        OSError: see `read_bytes`.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a path with a zero byte
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(found.st_mode):
        code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(code, "Is a directory" if code == errno.EISDIR else "a pipe or device, no file")
    if limit is not None and found.st_size > limit:
        raise OSError(errno.EFBIG, f"{found.st_size} bytes; no such file has more than {limit}")
    return found.st_size


def size_of(path: Path) -> int | None:
    """Return the size of a file in bytes; None where `check_regular` refuses it, too long a name included."""
    try:
        return check_regular(path)
    except OSError:
        return None


def parse_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value that JSON holds; ``parse_constant`` is told of NaN and infinities.

    Raises:
        ValueError: it is no JSON in UTF-8, nested so deeply that no data are, or has a whole number beyond all others
            or a text that `check_encodable` refuses.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(text, parse_constant=parse_constant, parse_int=_whole_number)
        if _HALF.search(text):  # rarely: whole characters beyond the first 65,536 are written as two halves
            check_encodable(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        raise ValueError("brackets nested too deeply") from None
    return value


def check_encodable(text: str) -> None:
    """Refuse a text that no file can hold.

    Raises:
        ValueError: it has half a character, a surrogate alone, which JSON and YAML can spell.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character, {error.object[error.start]!r}") from None


def reason_of(error: Exception) -> str:
    """Return what an error says, without the path that stands in the message of an `OSError`."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)
