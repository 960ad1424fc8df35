from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cmcr.config import parse_config
from cmcr.errors import ScoresError
from cmcr.plan import Plan
from cmcr.report.card import RunCard, describe_run, read_card, write_card

ROOT = Path(__file__).resolve().parents[2]


def test_a_card_says_what_a_config_asks_for_and_can_be_run_again(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    values["methods"]["ppkt_short"] = {"ablation_of": "ppkt", "label": "PPKT, <short>"}
    write_card(tmp_path / "run.json", describe_run(Plan.of(parse_config(values, "here"), "here"), values))
    card = read_card(tmp_path / "run.json")
    assert card.run_name == "smoke"
    assert card.toy
    assert list(card.labels) == list(values["methods"])
    (varied,) = [method for method in card.methods if method.id == "ppkt_short"]
    assert (varied.id, varied.label, varied.ablation_of) == ("ppkt_short", "PPKT, <short>", "ppkt")
    again = yaml.safe_load(card.config)
    assert again == values
    assert list(again["methods"]) == list(values["methods"])


def test_a_card_that_was_edited_is_refused(tmp_path: Path, card: RunCard) -> None:
    write_card(tmp_path / "run.json", card)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace('"toy": true', '"toy": false'))
    with pytest.raises(ScoresError, match="edited after the run"):
        read_card(tmp_path / "run.json")
