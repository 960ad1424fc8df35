"""Writing files so that nothing half-written ever stands under a final name."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cmcr.errors import OutputError

logger = logging.getLogger(__name__)

_GO_ON = "the same command then goes on: what is finished stays"
#: What a system may say to one who writes, and what can be done about it.
_WAYS_OUT = {
    errno.ENOSPC: f"free space on that disk; {_GO_ON}",
    errno.EDQUOT: f"free space below your quota; {_GO_ON}",
    errno.EFBIG: f"raise the limit on a file's size (`ulimit -f`), or use a file system without it; {_GO_ON}",
    errno.EROFS: f"mount that file system for writing, or run the command in another folder; {_GO_ON}",
    errno.EACCES: f"get the right to write there (`ls -ld` shows whose it is); {_GO_ON}",
    errno.EPERM: f"get the right to write there (`ls -ld` shows whose it is); {_GO_ON}",
}
#: Those that no reader gets.
_WRITERS_ALONE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def refusal(error: OSError, target: Path | str | None = None) -> OutputError | None:
    """Return what to tell the user if the system refuses to write; None where ``error`` is about something else.

    Args:
        error: what was raised.
        target: the file that was to be written. Unless it is known the error's own file is named, and what a reader
            may run into as well counts, because nobody knows better.
    """
    name = error.filename if target is None else target
    if error.errno not in (_WAYS_OUT if target is None else _WRITERS_ALONE):
        return None
    return _refused(error, "a file" if name is None else name)


def _refused(error: OSError, target: Path | str) -> OutputError:
    # Some writers go by way of another file, perhaps on another disk; of a copy the second name is where it goes.
    target, refused = Path(target), Path(str(error.filename2 or error.filename or target))
    place = target.absolute()
    other = refused.absolute().parent != place.parent and refused.absolute() not in place.parents
    return OutputError(
        f"{target}\n  expected: to be allowed to write it\n"
        f"  found:    {error.strerror or error}{f' ({refused})' if other else ''}\n"
        f"  way out:  {_WAYS_OUT.get(error.errno or 0, f'see to it that it can be written; {_GO_ON}')}"
    )


@contextmanager
def writing(target: Path | str) -> Iterator[None]:
    """Turn the system's refusal to write into an error that names ``target`` and the way out.

    Raises:
        OutputError: anything that the system refuses in the block, which is to do nothing but write.
    """
    try:
        yield
    except OSError as error:
        raise _refused(error, target) from error


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` when the block ends well, delete it otherwise.

    The temporary name keeps the target's suffix, because many writers choose their format by it.

    Raises:
        OutputError: the system refuses to write there. The block may read other files, and what it raises about these
            is let through.
    """
    target = Path(target)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.part{glob.escape(target.suffix)}"):
            left.unlink(missing_ok=True)  # of a writer that was killed; two never write one target at a time
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=f".part{target.suffix}", dir=target.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp creates files only their owner can read; results are meant to be shared like any other file.
        umask = os.umask(0)
        os.umask(umask)
        with writing(target):
            temporary.chmod(0o666 & ~umask)
            temporary.replace(target)
    except OSError as error:
        if refused := refusal(error, target):
            raise refused from error
        raise
    finally:
        with suppress(OSError):  # a file system that has become read-only does not let go of it either
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path | str, content: bytes) -> None:
    """Write ``content``, atomically."""
    with atomic_path(target) as path:
        path.write_bytes(content)


def write_text(target: Path | str, text: str) -> None:
    """Write ``text`` in UTF-8 with Unix line ends, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically. NaN and infinity are refused."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256_of_json(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON form of ``value``."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def exclusive(folder: Path | str) -> Iterator[None]:
    """Hold ``folder`` for this process; wait where another process holds it.

    A workflow that was killed may leave jobs behind that still run. Whoever takes their work up again has to let them
    come to their end first. The operating system lets go of the lock when its holder ends, however it ends.
    """
    folder = Path(folder)
    with writing(folder / ".lock"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting for another process that is at work in %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
