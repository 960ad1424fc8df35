"""What frozen features hold: the record of one look into a backbone, and the tables of many.

`docs/diagnostics.md` has the definitions.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from cmcr.errors import ScoresError
from cmcr.results.records import SCHEMA_VERSION, Id, Line, Record
from cmcr.results.scores import Provenance
from cmcr.results.summary import NO_RUN, Cell, cell_over_seeds, refuse_mixture, seeds_phrase
from cmcr.results.tables import Column, Row, Table


class Quantity(NamedTuple):
    """One column. ``group`` stands above it in print."""

    label: str
    group: str
    unit: Literal["percent", "r2", "channels", "cka", "nats"]
    higher_is_better: bool | None
    """None: more of it is neither better nor worse."""
    digits: int


_READ, _FORM, _MEET = "probe", "features", "image"
#: All quantities by id, in the order of the columns.
QUANTITIES: Final[Mapping[str, Quantity]] = {
    "class": Quantity("class (%)", _READ, "percent", True, 1),
    "intensity": Quantity("intensity", _READ, "r2", True, 2),
    "normal": Quantity("normal", _READ, "r2", True, 2),
    "height": Quantity("height", _READ, "r2", True, 2),
    "distance": Quantity("distance", _READ, "r2", True, 2),
    "colour": Quantity("colour", _READ, "r2", True, 2),
    "effective_rank": Quantity("effective rank", _FORM, "channels", None, 1),
    "cka_shared": Quantity("CKA with shared", _FORM, "cka", None, 2),
    "cka_pixels": Quantity("CKA", _MEET, "cka", None, 2),
    "information": Quantity("shared information (nats)", _MEET, "nats", None, 2),
}
#: Features by id, in the order of the blocks.
FEATURES: Final[Mapping[str, str]] = {"backbone": "backbone", "shared": "shared head", "specific": "specific head"}


class Measured(Record):
    """One quantity of one kind of features, or the reason why there is none."""

    features: Literal["backbone", "shared", "specific"]
    quantity: Id
    value: FiniteFloat | None
    control: FiniteFloat | None
    """The same after what is to be found was shuffled; null where ``value`` is."""
    higher_is_better: bool | None
    unit: Literal["percent", "r2", "channels", "cka", "nats"]
    num_points: NonNegativeInt
    """Held-out points, or pairs, behind the value."""
    reason: Line | None = None
    """Why ``value`` is null; null where there is a value."""

    @model_validator(mode="after")
    def _value_or_reason(self) -> Measured:
        if (self.value is None) == (self.reason is None) or (self.value is None) != (self.control is None):
            raise ValueError("expected either a value and its control or, if both are null, the reason")
        return self


class Diagnosis(Record):
    """All quantities of one pre-trained backbone and its heads."""

    schema_version: Literal[1] = SCHEMA_VERSION
    dataset: Id
    fit_split: Id
    fit_scans: PositiveInt
    """Scans of ``fit_split`` that linear maps and critics were fitted to."""
    split: Id
    scans: PositiveInt
    """Scans of ``split`` that everything was measured on."""
    candidates: PositiveInt
    """Pairs among which the bound on shared information looks for the right one."""
    pretrain_dataset: Id
    """``none`` for a method without pre-training."""
    method: Id
    seed: NonNegativeInt
    toy: bool
    """Whether the data are invented."""
    rows: list[Measured] = Field(min_length=1)
    provenance: Provenance

    @model_validator(mode="after")
    def _each_once(self) -> Diagnosis:
        names = [(row.features, row.quantity) for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0][1]} of {twice[0][0]} is given {names.count(twice[0])} times")
        return self


_SAME = ("dataset", "fit_split", "fit_scans", "split", "scans", "candidates", "toy")


def diagnostics_tables(diagnoses: Sequence[Diagnosis], methods: Mapping[str, str]) -> list[Table]:
    """Two tables of the same form, what was measured and the shuffled control of each number.

    Features that no method has, and quantities that nothing has, are left out.

    Args:
        diagnoses: of all methods and seeds.
        methods: label for print by id; a row each for every kind of features, in this order.

    Raises:
        ScoresError: nothing to show, a number twice, or a mixture that must not be averaged.
    """
    rows = [_named(diagnosis, row) for diagnosis in diagnoses if diagnosis.method in methods for row in diagnosis.rows]
    if not rows:
        raise ScoresError(f"no diagnostics for the methods {', '.join(methods)}")
    refuse_mixture(rows, (), _SAME)
    refuse_mixture(rows, ("method",), ("pretrain_dataset",))
    groups: dict[tuple[str, str, str], list[Mapping[Any, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["features"], row["method"], row["quantity"]].append(row)
    for key, group in groups.items():
        seeds = [row["seed"] for row in group]
        if len(set(seeds)) < len(seeds):
            raise ScoresError(f"diagnostics of one seed twice: {', '.join(key)}\n  way out:  leave one of them out")
    measured = {key: cell_over_seeds(group) for key, group in groups.items()}
    shuffled = {
        key: cell_over_seeds([{**row, "value": row["control"]} for row in group]) for key, group in groups.items()
    }
    blocks = [name for name in FEATURES if any(key[0] == name and cell.runs for key, cell in measured.items())]
    shown = [name for name in QUANTITIES if any(key[2] == name and cell.runs for key, cell in measured.items())]
    first, caption = rows[0], f"{seeds_phrase(measured.values(), with_spread=True)}"
    toy = " on toy data" if first["toy"] else ""
    where = (
        f"{first['dataset']}: fitted to points of {first['fit_scans']} scans of split {first['fit_split']}, measured on "
        f"points of {first['scans']} scans of split {first['split']}; {caption}."
    )
    captions = (
        f"Diagnostics{toy}: what frozen features hold. A linear map reads class (mean recall of the classes in "
        "percent), intensity, surface normal, height above ground, distance to the nearest other surface and colour "
        "(share of the variance, R²) of each point; how many directions the features fill; how alike they are to the "
        "shared ones, and to the image's features at the same pixels (linear CKA, from 0 to 1); and the least "
        f"information that they share with the teacher's pixels (InfoNCE among {first['candidates']}, in nats). "
        f"Best probe of each kind of features in bold. {where}",
        f"Diagnostics{toy}, shuffled control: each number again where there is nothing to find, because targets or "
        "pixels were permuted among the points (for the effective rank, each channel by itself, which leaves the "
        f"variance of the channels alone). {where}",
    )
    return [
        _table("diagnostics", captions[0], "measured", measured, blocks, shown, methods),
        _table("diagnostics_control", captions[1], "shuffled", shuffled, blocks, shown, methods),
    ]


def _named(diagnosis: Diagnosis, row: Measured) -> dict[Any, Any]:
    fields = {name: getattr(diagnosis, name) for name in (*_SAME, "pretrain_dataset", "method", "seed")}
    missing = float("nan")
    numbers = {name: missing if getattr(row, name) is None else getattr(row, name) for name in ("value", "control")}
    return {**fields, **numbers, "features": row.features, "quantity": row.quantity, "reason": row.reason or ""}


def _table(
    name: str,
    caption: str,
    values: Literal["measured", "shuffled"],
    cells: Mapping[tuple[str, str, str], Cell],
    blocks: Sequence[str],
    shown: Sequence[str],
    methods: Mapping[str, str],
) -> Table:
    columns = [
        Column(key, q.label, q.group, q.higher_is_better, q.digits)
        for key, q in ((key, QUANTITIES[key]) for key in shown)
    ]
    if values == "shuffled":  # nothing is best at finding nothing
        columns = [dataclasses.replace(column, higher_is_better=None) for column in columns]
    none = Cell(None, None, 0, reason=NO_RUN)
    rows = [
        Row(
            {"values": values, "features": block, "method": method},
            FEATURES[block],
            label,
            [cells.get((block, method, key), none) for key in shown],
        )
        for block in blocks
        for method, label in methods.items()
    ]
    return Table(name, caption, columns, rows, with_spread=True, block_header="Features")
