"""Runs of the real workflow, as small as they can be."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .segments import Converter
from .tiny import TINY

ROOT = Path(__file__).resolve().parents[2]

#: Scores, measures and diagnostics, which hold their provenance.
_RECORDS = ("finetune/**/scores.json", "pretrain/**/held_out.json", "diagnostics/**/*.json")


@dataclass
class Workflow:
    """The workflow in a folder of its own.

    Attributes:
        folder: where it runs.
        seconds: how long the whole run took, where it was made by `run_undisturbed`.
        longest_file: in bytes; neither Snakemake nor its jobs may write a longer one.
    """

    folder: Path
    seconds: float = 0
    longest_file: int | None = None

    def configure(self, config: dict[str, Any]) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    @property
    def results(self) -> Path:
        """The folder of all that the run makes."""
        return self.folder / "results" / self.config["run_name"]

    def command(self, *arguments: str, cores: int = 2) -> list[str]:
        start = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        if self.longest_file is not None:
            start = ["prlimit", f"--fsize={self.longest_file}", *start]
        return [*start, "--configfile", "config.yaml", "--cores", str(cores), *arguments]

    def start(self, *arguments: str, cores: int = 2) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            self.command(*arguments, cores=cores),
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *arguments: str, cores: int = 2, fails: bool = False) -> str:
        process = self.start(*arguments, cores=cores)
        output, _ = process.communicate()
        assert (process.returncode != 0) is fails, output[-4000:]
        return output

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL to Snakemake and all its jobs: nobody gets to tidy up."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def outcome(self) -> dict[str, bytes]:
        """Records and tables of the run by path, without what the machine had a part in; costs differ as a whole."""
        tables = [path for path in sorted((self.results / "tables").iterdir()) if path.stem != "cost"]
        records = [path for name in _RECORDS for path in sorted(self.results.glob(name))]
        found = {path: path.read_bytes() for path in [*self.results.rglob("scores*.tsv"), *tables]}
        found |= {path: _without_machine(path) for path in records}
        return {path.relative_to(self.results).as_posix(): content for path, content in found.items()}

    def temporary_files(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*.part*")]


def _without_machine(path: Path) -> bytes:
    """What a record holds besides hardware, time and memory."""
    content = json.loads(path.read_bytes())
    del content["checksum"]  # over all of it
    for name in ("hardware", "wall_time_s", "peak_memory_mb"):
        del content["provenance"][name]
    return json.dumps(content, sort_keys=True).encode()


def planned(output: str) -> list[str]:
    """The messages of the jobs that a dry run lists."""
    return re.findall(r"^Job \d+: (.*)$", output, flags=re.MULTILINE)


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    made = Workflow(tmp_path)
    made.configure(TINY)
    return made


def run_undisturbed(folder: Path, config: dict[str, Any], cores: int = 2) -> Workflow:
    made = Workflow(folder)
    made.configure(config)
    started = time.monotonic()
    made.run("all_tables", "all_figures", cores=cores)
    made.seconds = time.monotonic() - started
    return made


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A run that nothing disturbed; tests that change it copy it first."""
    return run_undisturbed(tmp_path_factory.mktemp("finished"), TINY)


@pytest.fixture(scope="session")
def finished_smoke(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The same of config/smoke.yaml, which has every task and takes minutes."""
    config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    return run_undisturbed(tmp_path_factory.mktemp("finished_smoke"), config)


@pytest.fixture
def copied(finished: Workflow, tmp_path: Path) -> Workflow:
    """A finished run that may be changed."""
    shutil.copytree(finished.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Workflow(tmp_path)


@pytest.fixture(scope="session")
def waymo_python() -> str:
    """Interpreter with the official package."""
    python = Path(os.environ.get("CMCR_WAYMO_PYTHON", ROOT / ".venv-waymo" / "bin" / "python"))
    if not python.is_file():
        pytest.skip(f"no Waymo environment at {python}: make waymo-env")
    return str(python)


@pytest.fixture(scope="session")
def converter(waymo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    """The conversion of segments, with its imports done."""
    made = Converter(waymo_python, tmp_path_factory.mktemp("converter"))
    yield made
    made.close()
