from __future__ import annotations

import pytest

from supply.locks import LOCKS, Lock, Pin, read_lock

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"

TEXT = f"""\
# What it is.
# And more, with a==1 in it.
a==1.0
B_c==2.0.post1 \\
    --hash={ONE} \\
    --hash={TWO}
"""


def test_a_lock_is_read_and_written_alike() -> None:
    lock = Lock.of(TEXT)
    assert lock.head == "# What it is.\n# And more, with a==1 in it.\n"
    assert lock.pins == (Pin("a", "1.0"), Pin("B_c", "2.0.post1", (ONE, TWO)))
    assert lock.text() == TEXT


def test_another_indexs_hash_is_added_and_none_is_lost() -> None:
    lock = Lock.of(f"a==1.0\nB_c==2.0 \\\n    --hash={TWO}\n").with_hashes([{"a": ONE}, {"a": TWO, "b-c": ONE}])
    assert [pin.hashes for pin in lock.pins] == [(ONE, TWO), (ONE, TWO)]


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_of_every_lock_has_a_hash(name: str) -> None:
    lock = read_lock(name)
    assert len(lock.pins) > 1
    assert [pin.name for pin in lock.pins if not pin.hashes] == []
    assert len({pin.name.lower() for pin in lock.pins}) == len(lock.pins)


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_place_to_fetch_from(name: str) -> None:
    text = "".join(line for line in read_lock(name).text().splitlines() if not line.startswith("#"))
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
