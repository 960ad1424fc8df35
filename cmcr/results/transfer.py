"""The transfer table: pre-trained on some data sets, fine-tuned on others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from cmcr.errors import ScoresError
from cmcr.results.headline import headlines
from cmcr.results.summary import AbsentDataset
from cmcr.results.tables import Row, Table, describe_dataset, describe_runs


def transfer_table(
    scores: pd.DataFrame,
    pretrained_on: Collection[str],
    methods: Mapping[str, str],
    reasons: Mapping[str, Mapping[str, str]] | None = None,
    absent: Mapping[str, Mapping[str, AbsentDataset]] | None = None,
) -> Table:
    """Methods by headline metric, on every data set that pre-training did not see.

    Args:
        scores: tidy table as `cmcr.results.collect.read_scores_table` gives it.
        pretrained_on: ids of the data sets of pre-training.
        methods: label for print by id; one row each, in this order.
        reasons: why a method has no numbers, by task and id, where that is known beforehand.
        absent: data sets that could not be had, by task and id; their columns say why.

    Raises:
        ScoresError: nothing to show, or a mixture that must not be averaged (see `summarise`).
    """
    found = headlines(scores, methods, reasons, absent, without=pretrained_on)
    if not found.columns:
        raise ScoresError(f"no scores on other data sets than {', '.join(sorted(pretrained_on))}")
    rows = [
        Row({"method": method}, "", label, [found.cells[method, column.key] for column in found.columns])
        for method, label in methods.items()
    ]
    toy = " on toy data" if bool(scores["toy"].any()) else ""
    runs = describe_runs([cell for row in rows for cell in row.cells], with_spread=True)
    caption = " ".join(
        [
            f"Transfer{toy}: pre-trained on {' and '.join(sorted(pretrained_on))}, fine-tuned on other data sets, {runs}.",
            "Best of each column in bold, second underlined.",
            *(f"{task.capitalize()}, {describe_dataset(dataset)}" for (task, _), dataset in found.datasets.items()),
        ]
    )
    return Table("transfer", caption, found.columns, rows, with_spread=True)
