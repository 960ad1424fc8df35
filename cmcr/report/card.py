"""``run.json``: what a run was asked to do. The workflow writes it, so that a run's folder explains itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from cmcr.plan import Plan
from cmcr.results.records import SCHEMA_VERSION, Id, Record, read_record, write_record


class MethodEntry(Record):
    """One row of the config."""

    id: Id
    label: str
    """Name for print. It is the user's text: whoever prints it escapes it."""
    paper: str
    code: str
    ablation_of: Id | None
    """The row that this one varies."""
    why_not: str | None
    """Why the row was not run, where it does not apply."""


class RunCard(Record):
    """The config of a run, and the names in it that tables and figures use."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_name: str
    toy: bool
    """Whether any of the data are invented."""
    seeds: list[int]
    datasets: list[Id]
    methods: list[MethodEntry] = Field(min_length=1)
    """In the order of the config."""
    config: str
    """The config as YAML, without the defaults that it leaves out; it can be run again."""

    @property
    def labels(self) -> dict[str, str]:
        """Name for print by id."""
        return {method.id: method.label for method in self.methods}


def describe_run(plan: Plan, values: Mapping[str, Any]) -> RunCard:
    """Describe a run.

    Args:
        plan: the checked config with its methods.
        values: the content of the config file, as it was given.
    """
    return RunCard(
        run_name=plan.config.run_name,
        toy=any(options.toy is not None for options in plan.config.datasets.values()),
        seeds=list(plan.config.seeds),
        datasets=list(dict.fromkeys([*plan.config.datasets, plan.config.pretrain.dataset])),
        methods=[
            MethodEntry(
                id=row,
                label=label,
                paper=plan.classes[row].source.paper,
                code=plan.classes[row].source.code,
                ablation_of=plan.config.methods[row].ablation_of,
                why_not="; ".join(dict.fromkeys(found[row] for found in plan.reasons.values() if row in found)) or None,
            )
            for row, label in plan.labels.items()
        ],
        config=yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=100),
    )


def write_card(path: Path | str, card: RunCard) -> None:
    """Write ``card``, atomically."""
    write_record(path, card)


def read_card(path: Path | str) -> RunCard:
    """Read a file written by `write_card`.

    Raises:
        ScoresError: see `read_record`.
    """
    return read_record(path, RunCard, "description of the run")
