"""The package as others would install it: built from its own source archive, into an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from supply.locks import ROOT

pytestmark = pytest.mark.slow

#: What a build reads; a copy of it, because a build leaves folders behind.
_SOURCES = ("cmcr", "baselines", "pyproject.toml", "README.md", "LICENSE")


def build(what: str, source: Path, output: Path) -> Path:
    """Call setuptools as pip would, without an index to fetch it from; return the file it made."""
    output.mkdir()
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{what}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(output)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return output / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built of the source archive, and not of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, checkout / name)
    shutil.unpack_archive(build("sdist", checkout, folder / "sdist"), folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    return build("wheel", unpacked, folder / "dist")


def test_a_wheel_holds_the_packages_with_their_data_and_not_the_workflow(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        packed = set(content.namelist())
    here = {
        path.relative_to(ROOT).as_posix()
        for package in ("cmcr", "baselines")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in packed if ".dist-info/" not in name} == here
    assert "cmcr/data/label_maps/semantic_kitti.yaml" in packed
    assert "cmcr/report/page/report.html.j2" in packed
    assert any(name.endswith("licenses/LICENSE") for name in packed)


def test_an_installed_wheel_runs_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(environment)], check=True)
    python = environment / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    # Dependencies are those of the tests' own environment, whose folder a venv within a venv would not see. As a line
    # of a .pth file its own .pth files, by which this checkout may be installed, are not read.
    (Path(site) / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)

    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=empty, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    assert run(str(python), "-c", "import cmcr; print(cmcr.__file__)").startswith(str(environment))
    cmcr = str(environment / "bin" / "cmcr")
    assert "usage: cmcr" in run(cmcr, "--help")
    methods = run(cmcr, "methods")
    for name in ("cmcr", "ppkt", "scratch"):
        assert name in methods
    assert run(str(python), "-c", "from cmcr.data.releases import *; print(load_release('semantic_kitti').digest)")
    assert list(empty.iterdir()) == []
