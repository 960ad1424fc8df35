"""docs/licences.md: every package of the lock files with its version and its licence, as its own metadata has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from supply.locks import LOCKS, Lock, normalised

#: What stands where a package says nothing of its licence.
UNSAID = "not said"

_HEAD = """\
# Licences of what is installed

Written by `make supply` ([supply.md](supply.md)) from the metadata of the files whose hashes are in the lock files; not
edited by hand. A licence is what the package itself states: its licence expression, else its classifiers, else the
first line of its licence field. It is no legal advice, and what a wheel bundles (CUDA libraries, BLAS) may have terms
of its own.
"""


def licence_of(expression: str | None, classifiers: Sequence[str], field: str) -> str:
    """Return one line for what a package's metadata says of its licence: SPDX expression, classifiers, or free text."""
    if expression:
        return expression
    trove = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    trove = [name for name in trove if name != "OSI Approved"]
    if trove:
        return ", ".join(trove)
    lines = [line.strip() for line in field.splitlines() if line.strip()]
    return lines[0].replace("|", "/") if lines and lines[0] != "UNKNOWN" else UNSAID


def licences_page(locks: Mapping[str, Lock], licences: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of docs/licences.md.

    Args:
        locks: the lock files by name, as in `LOCKS`.
        licences: for each of them, from normalised name to licence.
    """
    parts = [_HEAD]
    for name, purpose in LOCKS.items():
        rows = ((pin.name, pin.version, licences[name][normalised(pin.name)]) for pin in locks[name].pins)
        parts.append(f"\n## {name}\n\n{purpose}.\n\n{_table(rows)}")
    return "".join(parts)


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| package | version | licence |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
