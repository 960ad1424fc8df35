"""Where a number comes from: code, packages, hardware, time and memory of the running process."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from cmcr.results.scores import Hardware, Provenance

PACKAGES = ("cmcr", "torch", "lightning", "transformers", "numpy", "nuscenes-devkit", "snakemake")
#: The names under which spconv is to be had, one for each version of CUDA.
SPCONV = ("spconv-cu120", "spconv-cu124", "spconv-cu126")
#: The folder that holds the package, and the parts of a checkout that can change a number. The config has its own hash.
ROOT = Path(__file__).resolve().parents[2]
CODE = ("cmcr", "baselines", "workflow", "Snakefile")
NOT_A_CHECKOUT = "not a checkout"


def collect_provenance(
    config_hash: str, data_checksum: str, code: tuple[str, bool], started: float, threads: int, devices: int = 1
) -> Provenance:
    """Describe the running process, at its end.

    Args:
        config_hash: hash of the options of fine-tuning, pre-training and teacher.
        data_checksum: hash over the checksums of all data: of pre-training, of training and its labelled scans, and of
            the split that was scored.
        code: `git_state` at the start of the run.
        started: `time.monotonic` at the start of the run.
        threads: threads that torch was given.
        devices: that shared the training.
    """
    commit, dirty = code
    return Provenance(
        config_hash=config_hash,
        data_checksum=data_checksum,
        git_commit=commit,
        dirty=dirty,
        packages=package_versions(),
        hardware=Hardware(
            cpu=cpu_model(),
            cores=os.cpu_count() or 1,
            threads=threads,
            devices=devices,
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
            platform=platform.platform(),
        ),
        wall_time_s=round(time.monotonic() - started, 3),
        peak_memory_mb=peak_memory_mb(),
    )


def git_state(root: Path = ROOT) -> tuple[str, bool]:
    """Commit of the checkout whose top folder is ``root``, and whether its code differs from it.

    A package installed into some other project's folder is not that project's checkout.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if top is None or commit is None or Path(top).resolve() != root.resolve():
        return NOT_A_CHECKOUT, False
    return commit, bool(_git(root, "status", "--porcelain", "--", *CODE))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, None if it fails or is not installed."""
    # Inside a git hook these variables name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # A job must not take the lock under which the user commits.
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that a number depends on."""
    found = {}
    for name in PACKAGES + SPCONV:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # spconv is only there on GPU machines
            continue
    return found


def cpu_model() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in 10^6 bytes (Linux counts in KiB)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)
