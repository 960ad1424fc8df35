"""Limits: on time and memory, and machines that refuse to write (files' size, full disks, others' folders)."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class _Hangs(BaseException):
    """What no reader takes for a file's damage, as it would a `TimeoutError`, which is an `OSError`."""


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    """Raise where the block takes longer by the clock: it hangs."""

    def stop(*_: object) -> None:
        raise _Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    except _Hangs:
        raise TimeoutError(f"no answer in {seconds} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def in_memory(size: int) -> Iterator[None]:
    """Let this process have no more than ``size`` bytes of addresses beside those it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether what was raised, or what it was raised for, is that there was no memory left."""
    while error is not None:
        said = str(error).lower()
        if isinstance(error, MemoryError) or "allocate memory" in said or "not enough memory" in said:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process write no file longer than ``size`` bytes; whoever tries is told EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Make ``folder`` a disk of so many kB; skip the test where it may not be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk cannot be mounted: not root")
    options = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    """Let nobody write to the disk that `small_disk` has mounted any more."""
    _remount(disk, "ro")


def make_writable(disk: Path) -> None:
    """Take `make_read_only` back."""
    _remount(disk, "rw")


def leave_free(disk: Path, kilobytes: int) -> None:
    """Let the disk that `small_disk` has mounted take so many kB more than it holds now."""
    _remount(disk, f"size={shutil.disk_usage(disk).used // 1024 + kilobytes}k")


def _remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


@contextmanager
def folder_of_somebody_else() -> Iterator[Path]:
    """Make a folder that this process may not write to. Root, whom no right binds, is somebody else meanwhile."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        if user == 0:
            if any(not parent.stat().st_mode & 0o001 for parent in folder.parents):
                pytest.skip(f"{folder.parent} is closed to others, and root is bound by no right")
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o755)
