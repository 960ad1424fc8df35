from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata, version

import pytest

from supply.licences import UNSAID, licence_of, licences_page
from supply.locks import LOCKS, ROOT, Pin, normalised, read_lock


def sections() -> dict[str, dict[tuple[str, str], str]]:
    """The rows of docs/licences.md by lock file: from name and version to licence."""
    _, *parts = re.split(r"^## ", (ROOT / "docs" / "licences.md").read_text(), flags=re.MULTILINE)
    found = {}
    for part in parts:
        rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in part.splitlines() if "|" in line]
        found[part.splitlines()[0]] = {(name, number): licence for name, number, licence in rows[2:]}
    return found


def test_every_pin_of_every_lock_is_listed_and_nothing_else() -> None:
    assert {name: list(rows) for name, rows in sections().items()} == {
        name: [(pin.name, pin.version) for pin in read_lock(name).pins] for name in LOCKS
    }


def installed(pin: Pin) -> str | None:
    """What the installed package says of itself, if it is there in the version of the lock."""
    try:
        if version(pin.name).partition("+")[0] != pin.version:
            return None
    except PackageNotFoundError:
        return None
    told = metadata(pin.name)
    return licence_of(told.get("License-Expression"), told.get_all("Classifier") or [], told.get("License") or "")


def test_the_licences_are_those_that_the_installed_packages_state() -> None:
    rows = sections()
    compared = 0
    for name in ("requirements.lock", "requirements-slurm.lock"):
        for pin in read_lock(name).pins:
            told = installed(pin)
            if told is not None:
                assert rows[name][pin.name, pin.version] == told, pin.name
                compared += 1
    if not compared:
        pytest.skip("no package is installed in the version of its lock")


@pytest.mark.parametrize(
    ("expression", "classifiers", "field", "expected"),
    [
        ("MIT", ["License :: OSI Approved :: BSD License"], "Apache", "MIT"),
        (None, ["License :: OSI Approved", "License :: OSI Approved :: BSD License"], "x", "BSD License"),
        (None, ["Topic :: Software"], "\n  Mine | yours\nwith more", "Mine / yours"),
        (None, ["License :: OSI Approved"], "", UNSAID),
        (None, [], "UNKNOWN", UNSAID),
    ],
)
def test_what_a_package_says_of_its_licence(
    expression: str | None, classifiers: list[str], field: str, expected: str
) -> None:
    assert licence_of(expression, classifiers, field) == expected


def test_a_package_without_a_licence_stops_the_page() -> None:
    locks = {name: read_lock(name) for name in LOCKS}
    licences = {name: {normalised(pin.name): "MIT" for pin in lock.pins} for name, lock in locks.items()}
    assert licences_page(locks, licences).count("| MIT |") == sum(len(lock.pins) for lock in locks.values())
    del licences["requirements-cuda.lock"]["triton"]
    with pytest.raises(KeyError, match="triton"):
        licences_page(locks, licences)
