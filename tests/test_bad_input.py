"""Every damage of `damage` gives one message with the path and the reason, in time, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import DAMAGES, PAGE, page
from damage_commands import MOST_WORK_S, answer_to
from damage_tools import Answer, Damage
from damage_yard import build_yard

from cmcr.printable import printable


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yard")
    build_yard(folder)
    return folder


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    return {}


CASES = [
    pytest.param(damage, id=damage.id, marks=pytest.mark.slow if damage.claims_memory else ()) for damage in DAMAGES
]


@pytest.mark.parametrize("damage", CASES)
def test_each_damage_gives_one_message(damage: Damage, yard: Path, tmp_path: Path, answers: dict[str, Answer]) -> None:
    answer = answers[damage.id] = answer_to(damage, yard, tmp_path)
    assert answer.code == 1, answer.text
    assert "Traceback" not in answer.text
    assert printable(answer.text) == answer.text
    assert Path(damage.file).name in answer.text
    assert damage.check(answer.text), answer.text
    assert answer.left == ()
    assert answer.work_s < MOST_WORK_S


@pytest.mark.slow
def test_the_page_says_what_each_damage_gives(answers: dict[str, Answer]) -> None:
    if len(answers) < len(DAMAGES):
        pytest.skip("needs the answers to all damages")
    found = page([(damage, answers[damage.id]) for damage in DAMAGES])
    assert found == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_no_damage_has_the_name_of_another() -> None:
    names = [damage.id for damage in DAMAGES]
    assert len(set(names)) == len(names) >= 40
