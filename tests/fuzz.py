"""Valid bytes changed at random, for tests that every reader refuses them with one message or returns what is sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import in_memory, in_time, ran_out_of_memory

from cmcr.errors import CMCRError

TORTURE = bool(os.environ.get("CMCR_TORTURE"))
#: Cases of each of a hundred readers: hundreds, fewer where each takes long, always the same; or ten thousand and
#: others at each call (`make torture`).
CASES, FEW = (10_000, 10_000) if TORTURE else (300, 100)
#: Seconds of the clock, and bytes of memory, that no single case may take. The files have some kilobytes.
MOST_WAIT_S, MOST_BYTES = 60, 2**29

Read = Callable[[Path], Any]
#: The file below the yard, how it is read, and what is sound.
Case = tuple[str, Read, Callable[[Any], bool]]

SETTINGS = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=not TORTURE,
    database=None,
    suppress_health_check=list(HealthCheck),
)

#: What damaged files, and those who forge them, have in the place of something else.
PIECES: Sequence[bytes] = (
    b"", b"\0", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\n", b"\r", b"\r\n", b"\t", b" ",
    b'"', b"'", b"{", b"}", b"[", b"]", b":", b",", b"-", b"#", b"&a ", b"*a", b"!!python/name:os.system ", b"!!int ",
    b"0", b"-1", b"1e999", b"-1e308", b"nan", b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"1_0", b"0x10",
    b"9" * 30, b"9" * 5000, b"0.1", b"../../", b"/etc/passwd", b"\x1b[31m", "²".encode(), "٣".encode(),
    "\u202e".encode(), b"[" * 3000, b'{"a":' * 3000, b"<script>", b"\x80\x04\x95", b"\x7f", b"\x85", "\u2028".encode(),
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """Return ``content`` with one to four changes: bits turned, a part cut out, moved, doubled or replaced."""
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 4)))):
        kind, start = draw(st.integers(0, 6)), draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from((0, 1, 1, 2, 8, 64, len(content)))))
        if kind == 0 and start < len(content):
            turned = bytes([content[start] ^ 1 << draw(st.integers(0, 7))])
            content = content[:start] + turned + content[start + 1 :]
        elif kind == 1:
            content = content[:start] + content[end:]
        elif kind == 2:
            content = content[:start] + draw(st.sampled_from(PIECES)) + content[start:]
        elif kind == 3:
            content = content[:start] + draw(st.sampled_from(PIECES)) + content[end:]
        elif kind == 4:
            place = draw(st.integers(0, len(content)))
            content = content[:place] + content[start:end] + content[place:]
        elif kind == 5:
            content = content[:end]
        else:
            content = content[:start] + draw(st.binary(max_size=8)) + content[end:]
    return content


def fuzz(path: Path, read: Read, sound: Callable[[Any], bool], cases: int = CASES) -> None:
    """Change a file at random, again and again: reading it gives a `CMCRError` or what is sound, in time and memory.

    Args:
        path: a file that is read well; it is put back at the end.
        read: reads it, and leaves nothing beside it.
        sound: whether what was read can be believed.
        cases: how often.
    """
    content = path.read_bytes()
    assert sound(read(path))
    beside = set(path.parent.iterdir())

    @settings(SETTINGS, max_examples=cases)
    @given(changed(content))
    def check(case: bytes) -> None:
        path.write_bytes(case)
        try:
            with in_time(MOST_WAIT_S), in_memory(MOST_BYTES):
                value = read(path)
        except CMCRError as error:
            if str(error).strip() and not ran_out_of_memory(error):
                return
            raise
        assert sound(value)

    try:
        check()
        assert set(path.parent.iterdir()) == beside
    finally:
        path.write_bytes(content)


def signed(read: Read, sign: Callable[[bytes], bytes]) -> Read:
    """Read a file once its checksum fits what was changed in it, as someone who knows how would have made it."""

    def read_signed(path: Path) -> Any:
        with suppress(ValueError, TypeError, AttributeError, RecursionError):  # what has no place for a checksum
            path.write_bytes(sign(path.read_bytes()))
        return read(path)

    return read_signed
