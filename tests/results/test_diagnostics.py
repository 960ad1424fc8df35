from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cmcr.errors import ScoresError
from cmcr.results.diagnostics import FEATURES, QUANTITIES, Diagnosis, Measured, diagnostics_tables
from cmcr.results.records import read_record, write_record
from cmcr.results.table_text import to_csv, to_latex, to_markdown

from .conftest import PROVENANCE

METHODS = {"scratch": "Scratch", "ppkt": "PPKT", "cmcr": "CMCR"}


def row(features: Any, quantity: str, value: float | None, reason: str = "no such head") -> Measured:
    found = QUANTITIES[quantity]
    return Measured(
        features=features,
        quantity=quantity,
        value=value,
        control=None if value is None else 0.001,
        higher_is_better=found.higher_is_better,
        unit=found.unit,
        num_points=0 if value is None else 100,
        reason=reason if value is None else None,
    )


def diagnosis(method: str, seed: int, level: float, heads: tuple[str, ...] = (), **changes: Any) -> Diagnosis:
    rows = [
        row(features, quantity, level + seed if features in ("backbone", *heads) else None)
        for features, quantity in itertools.product(FEATURES, QUANTITIES)
        if quantity != "cka_shared"
    ]
    for features in FEATURES:
        exists = features == "specific" and "specific" in heads
        rows.append(row(features, "cka_shared", level if exists else None, "of the specific head alone"))
    fields: dict[str, Any] = {
        "dataset": "town",
        "fit_split": "train",
        "fit_scans": 20,
        "split": "val",
        "scans": 10,
        "candidates": 1024,
        "pretrain_dataset": "none" if method == "scratch" else "town",
        "method": method,
        "seed": seed,
        "toy": True,
        "rows": rows,
        "provenance": PROVENANCE,
    }
    return Diagnosis(**{**fields, **changes})


def run(*, specific: bool = True) -> list[Diagnosis]:
    heads = ("shared", "specific") if specific else ("shared",)
    return [
        made
        for seed in (0, 1)
        for made in (
            diagnosis("scratch", seed, 0.25),
            diagnosis("ppkt", seed, 0.5, ("shared",)),
            diagnosis("cmcr", seed, 0.75, heads),
        )
    ]


def test_a_record_comes_back_and_a_changed_number_is_noticed(tmp_path: Path) -> None:
    made = diagnosis("cmcr", 0, 0.5, ("shared",))
    write_record(tmp_path / "a.json", made)
    assert read_record(tmp_path / "a.json", Diagnosis, "diagnostics") == made
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace('"value": 0.5', '"value": 0.6', 1))
    with pytest.raises(ScoresError, match="edited after the run"):
        read_record(tmp_path / "a.json", Diagnosis, "diagnostics")
    with pytest.raises(ScoresError, match="no such diagnostics file"):
        read_record(tmp_path / "b.json", Diagnosis, "diagnostics")


@pytest.mark.parametrize(
    "changes",
    [{"value": None}, {"reason": "why"}, {"control": None}, {"value": None, "control": None}, {"value": float("nan")}],
)
def test_a_number_has_a_control_or_a_reason(changes: dict[str, Any]) -> None:
    fields = row("shared", "height", 0.5).model_dump()
    with pytest.raises(ValidationError):
        Measured(**{**fields, **changes})


def test_a_number_stands_in_a_record_once() -> None:
    twice = [row("shared", "height", 0.5), row("shared", "height", 0.6)]
    with pytest.raises(ValidationError, match="height of shared is given 2 times"):
        diagnosis("ppkt", 0, 0.5, rows=twice)


def test_values_and_controls_stand_in_two_tables_of_one_form() -> None:
    measured, control = diagnostics_tables(run(), METHODS)
    assert [r.keys for r in measured.rows] == [
        {"values": "measured", "features": features, "method": method} for features in FEATURES for method in METHODS
    ]
    assert [column.key for column in measured.columns] == list(QUANTITIES)
    cells = {(r.block, r.label): dict(zip(QUANTITIES, r.cells, strict=True)) for r in measured.rows}
    assert cells["backbone", "PPKT"]["height"].mean == 1.0
    assert cells["backbone", "PPKT"]["height"].std == pytest.approx(0.5**0.5)
    assert cells["specific head", "PPKT"]["height"].reason == "no such head"
    assert cells["specific head", "CMCR"]["cka_shared"].mean == 0.75
    assert {cell.mean for r in control.rows for cell in r.cells} == {0.001, None}


def test_features_and_quantities_that_nobody_has_are_left_out() -> None:
    measured, _ = diagnostics_tables(run(specific=False), METHODS)
    assert {r.block for r in measured.rows} == {"backbone", "shared head"}
    assert "cka_shared" not in [column.key for column in measured.columns]


def test_print() -> None:
    measured, control = diagnostics_tables(run(), METHODS)
    text = to_markdown(measured)
    assert text.startswith("Diagnostics on toy data")
    assert "mean and sample standard deviation over 2 seeds" in text
    lines = {tuple(cell.strip() for cell in line.split("|")[1:3]): line for line in text.splitlines() if "|" in line}
    assert ("Features", "Method") in lines
    assert "**1.25** ± 0.71" in lines["backbone", "CMCR"]
    assert "**" not in lines["backbone", "PPKT"]
    # Neither rank nor alignment nor information is good in itself.
    columns = [cell.strip() for cell in lines["backbone", "CMCR"].split("|")][3:-1]
    assert ["**" in cell for cell in columns] == [q.higher_is_better is True for q in QUANTITIES.values()]
    assert "n/a (a)" in lines["shared head", "Scratch"]
    assert "**" not in to_markdown(control)
    assert r"\multicolumn{6}{c}{probe}" in to_latex(measured)
    assert "R$^2$" in to_latex(measured)


def test_csv_has_a_row_for_everything() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(diagnostics_tables(run(), METHODS)))))
    assert len(rows) == 2 * len(FEATURES) * len(METHODS)
    (found,) = [r for r in rows if (r["values"], r["features"], r["method"]) == ("measured", "shared", "ppkt")]
    assert (float(found["height/mean"]), found["height/n"], found["cka_shared/mean"]) == (1.0, "2", "n/a")


def test_what_must_not_be_averaged_is_refused() -> None:
    with pytest.raises(ScoresError, match="no diagnostics for the methods other"):
        diagnostics_tables(run(), {"other": "Other"})
    with pytest.raises(ScoresError, match="must not share a table"):
        diagnostics_tables([*run(), diagnosis("ppkt", 2, 0.5, scans=11)], METHODS)
    with pytest.raises(ScoresError, match="pretrain_dataset"):
        diagnostics_tables([*run(), diagnosis("ppkt", 2, 0.5, pretrain_dataset="village")], METHODS)
    with pytest.raises(ScoresError, match="one seed twice"):
        diagnostics_tables([*run(), diagnosis("ppkt", 0, 0.5)], METHODS)
