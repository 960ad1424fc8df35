from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
import yaml
from packaging.requirements import Requirement

from supply.locks import ROOT, read_lock


def pins(lines: list[str]) -> dict[str, str]:
    pairs = [line.strip().split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def locked_in(lock: str) -> dict[str, str]:
    return {pin.name.lower().replace("_", "-"): pin.version for pin in read_lock(lock).pins}


def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return pins([*project["dependencies"], *extras["dev"], *extras["gpu"]])


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert [line for line in asked if "==" not in line] == []


def test_the_lock_file_has_the_declared_versions() -> None:
    locked = locked_in("requirements.lock")
    # spconv needs a GPU machine; it is the one package that 'make setup' leaves out.
    assert {name: locked.get(name) for name in declared() if name != "spconv-cu120"} == {
        name: version for name, version in declared().items() if name != "spconv-cu120"
    }


def test_the_conda_environment_has_the_declared_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (packages,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pins(packages) == declared()
    assert "python=3.11" in environment["dependencies"]


def test_the_executor_for_slurm_fits_but_for_the_numpy_of_an_optional_report() -> None:
    locked = locked_in("requirements-slurm.lock")
    try:
        assert {name: version(name) for name in locked} == locked
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed (pip install --no-deps -r requirements-slurm.lock)")
    asked = [Requirement(line) for name in locked for line in requires(name) or []]
    unmet = [need.name for need in asked if not need.specifier.contains(version(need.name))]
    assert unmet == ["numpy"]
