"""``python -m supply``: bring the hashes of the lock files and docs/licences.md up to date."""

from __future__ import annotations

from cmcr.files import write_text
from supply.indexes import ask_pip
from supply.licences import licences_page
from supply.locks import LOCKS, ROOT, read_lock


def main() -> None:
    """Ask pip's default index and what is configured on this machine, which may have other builds; write both files."""
    locks, licences = {}, {}
    for name in LOCKS:
        lock = read_lock(name)
        answers = [ask_pip(lock.pins, default_index=default_index) for default_index in (False, True)]
        locks[name] = lock.with_hashes({found.name: found.sha256 for found in answer.values()} for answer in answers)
        licences[name] = {found.name: found.licence for answer in answers for found in answer.values()}
        write_text(ROOT / name, locks[name].text())
    write_text(ROOT / "docs" / "licences.md", licences_page(locks, licences))


if __name__ == "__main__":
    main()
