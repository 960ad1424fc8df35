"""Put on ``PYTHONPATH``, this gives every listing of a folder the other way round: another file system's order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any

_listdir, _scandir = os.listdir, os.scandir


class _Backwards:
    """What `os.scandir` returns, from its end."""

    def __init__(self, *arguments: Any):
        with _scandir(*arguments) as entries:
            self._entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> _Backwards:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left open."""


os.listdir = lambda *arguments: sorted(_listdir(*arguments), reverse=True)  # type: ignore[assignment]
os.scandir = _Backwards  # type: ignore[assignment,misc]
